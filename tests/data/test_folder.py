import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms._presets import ImageClassification

from ventralstream.data import folder as folder_module
from ventralstream.data.folder import Preprocessing, read_batches
from ventralstream.data.image_file import open_image
from ventralstream.data.listing import list_images
from ventralstream.errors import VentralError
from ventralstream.jsonable import from_json

SMALL = Preprocessing(size=16)


def test_lists_images_of_all_kinds_sorted_by_relative_path(tmp_path, picture):
    names = ["b/10.jpg", "b/9.JPEG", "a.PNG", "c/d/e.webp", "z.bmp", "f.tif", "f.tiff", "b c/ü.Jpg"]
    for name in names:
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(tmp_path / "c")
    assert list_images(tmp_path) == sorted([*names, "linked/d/e.webp"])


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(VentralError, match="does not exist"):
        list_images(tmp_path / "absent")
    with pytest.raises(VentralError, match=r"holds no image.*\.jpg"):
        list_images(tmp_path)
    file = tmp_path / "x.jpg"
    file.touch()
    with pytest.raises(VentralError, match="is a file, not a folder"):
        list_images(file)


@pytest.mark.parametrize("workers", [0, 3])
def test_reads_in_order_and_goes_on_from_any_position(tmp_path, picture, workers):
    for i in range(11):
        picture(tmp_path / f"{i:02}.png")
    ids = list_images(tmp_path)
    batches = list(read_batches(tmp_path, ids, 4, SMALL, workers=workers))
    assert [b.ids for b in batches] == [tuple(ids[:4]), tuple(ids[4:8]), tuple(ids[8:])]
    for batch in batches:
        for id_, image in zip(batch.ids, batch.images, strict=True):
            alone = SMALL.normalise(SMALL.pixels(open_image(tmp_path / id_, 3))[None])[0]
            assert torch.equal(image, alone)
    resumed = list(read_batches(tmp_path, ids, 4, SMALL, start=4, workers=workers))
    assert [b.ids for b in resumed] == [b.ids for b in batches[1:]]
    assert all(torch.equal(r.images, b.images) for r, b in zip(resumed, batches[1:], strict=True))
    assert list(read_batches(tmp_path, ids, 4, SMALL, start=11, workers=workers)) == []


def test_unreadable_files_are_skipped_and_said(tmp_path, picture):
    whole = picture(tmp_path / "0.jpg", 300, 300).read_bytes()
    (tmp_path / "1.jpg").write_text("this is text")
    (tmp_path / "2.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3.jpg").touch()
    picture(tmp_path / "4.jpg")
    ids = list_images(tmp_path)
    first, second, third = read_batches(tmp_path, [*ids, "gone.jpg"], 2, SMALL)
    assert first.ids == ("0.jpg",) and first.images.shape == (1, 3, 16, 16)
    assert [s.id for s in first.skipped] == ["1.jpg"] and "not an image" in first.skipped[0].reason
    assert second.ids == () and second.images.shape == (0, 3, 16, 16)
    assert [s.id for s in second.skipped] == ["2.jpg", "3.jpg"] and "truncated" in second.skipped[0].reason
    assert third.ids == ("4.jpg",) and [s.id for s in third.skipped] == ["gone.jpg"]


def test_nothing_readable_is_an_error_at_the_end_of_a_whole_pass(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_text("text")
    ids = list_images(tmp_path)
    with pytest.raises(VentralError, match=r"none of the 3 images .* can be read.*not an image"):
        list(read_batches(tmp_path, ids, 2, SMALL))
    assert [len(b.skipped) for b in read_batches(tmp_path, ids, 2, SMALL, start=1)] == [2]


def test_bad_arguments_are_refused_at_once(tmp_path, picture):
    picture(tmp_path / "0.png")
    with pytest.raises(VentralError, match="does not exist"):
        read_batches(tmp_path / "absent", ["0.png"], 2, SMALL)
    with pytest.raises(VentralError, match="empty"):
        read_batches(tmp_path, [], 2, SMALL)
    for options in ({"batch_size": 0}, {"batch_size": 1, "start": 2}, {"batch_size": 1, "workers": -1}):
        with pytest.raises(VentralError, match="batch size of 1 or more"):
            read_batches(tmp_path, ["0.png"], preprocessing=SMALL, **options)


def test_reads_no_further_ahead_than_a_batch(tmp_path, picture, monkeypatch):
    for i in range(40):
        picture(tmp_path / f"{i:02}.png")
    opened = []

    def counting(path, channels):
        opened.append(path)
        return open_image(path, channels)

    monkeypatch.setattr(folder_module, "open_image", counting)
    threads = threading.active_count()
    batches = read_batches(tmp_path, list_images(tmp_path), 4, SMALL, workers=2)
    assert opened == []
    next(batches)
    next(batches)
    assert 8 <= len(opened) <= 8 + 4
    batches.close()
    assert threading.active_count() == threads and len(opened) <= 8 + 4


def test_crop_is_the_usual_evaluation_on_imagenet(tmp_path, picture):
    image = open_image(picture(tmp_path / "0.png", 400, 300), 3)
    ours = Preprocessing()
    reference = ImageClassification(crop_size=224, resize_size=256)(image)
    torch.testing.assert_close(ours.normalise(ours.pixels(image)[None])[0], reference)


def test_squash_keeps_the_whole_image_and_leaves_the_right_size_alone(tmp_path, picture):
    squash = Preprocessing(size=30, resize="squash")
    left_red = Image.new("RGB", (90, 30), "blue")
    left_red.paste("red", (0, 0, 10, 30))
    assert squash.pixels(left_red)[:, 15, 0].tolist() == [255, 0, 0]
    assert Preprocessing(size=30).pixels(left_red)[:, 15, 0].tolist() == [0, 0, 255]
    square = open_image(picture(tmp_path / "0.png", 30, 30), 3)
    assert np.array_equal(squash.pixels(square).permute(1, 2, 0), np.asarray(square))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_any_mode_becomes_colour_or_grey(tmp_path, picture, mode):
    path = picture(tmp_path / "0.tif", mode=mode)
    assert SMALL.pixels(open_image(path, 3)).shape == (3, 16, 16)
    grey = Preprocessing(size=16, mean=(0.5,), std=(0.25,))
    assert grey.channels == 1
    assert grey.pixels(open_image(path, 1)).shape == (1, 16, 16)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "0.png")
    assert np.array_equal(np.asarray(open_image(tmp_path / "0.png", 1)), ramp >> 8)
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "1.tif")
    with pytest.raises(VentralError, match="32 bits"):
        open_image(tmp_path / "1.tif", 1)


def test_preprocessing_is_checked_and_survives_json():
    wanted = Preprocessing(size=64, mean=(0.5,), std=(0.2,), resize="squash")
    assert from_json(wanted.to_json()) == wanted
    with pytest.raises(VentralError, match="did you mean 'squash'"):
        Preprocessing(resize="sqash")
    for options in ({"size": 0}, {"mean": (0.5,)}, {"std": (1.0, 1.0, 0.0)}):
        with pytest.raises(VentralError):
            Preprocessing(**options)


def test_real_imagenet_photographs(real_data):
    root = real_data("imagenet-samples")
    ids = list_images(root)
    assert len(ids) == 60 and ids[0] == "n01440764_tench.JPEG"
    batches = list(read_batches(root, ids[:10], 6, Preprocessing()))
    assert [tuple(b.images.shape) for b in batches] == [(6, 3, 224, 224), (4, 3, 224, 224)]
    assert not any(b.skipped for b in batches)
    reference = ImageClassification(crop_size=224)(Image.open(root / ids[3]).convert("RGB"))
    torch.testing.assert_close(batches[0].images[3], reference)
