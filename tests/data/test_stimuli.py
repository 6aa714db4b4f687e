import io
import os
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from ventralstream.data.stimuli import Stimuli, names_in_zip, read_zip
from ventralstream.errors import VentralError


def archive(path, images):
    with zipfile.ZipFile(path, "w") as target:
        for name, pixels in images.items():
            data = pixels
            if not isinstance(pixels, bytes):
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "png")
                data = buffer.getvalue()
            target.writestr(name, data)
    return path


def test_a_zip_is_read_in_the_order_of_its_names(tmp_path):
    rng = np.random.default_rng(0)
    images = {n: rng.integers(0, 256, (6, 8, 3), dtype=np.uint8) for n in ("10.png", "2.png", "a/1.png")}
    stimuli = read_zip(archive(tmp_path / "i.zip", images))
    assert stimuli.ids == ("10.png", "2.png", "a/1.png") and len(stimuli) == 3
    for id_, pixels in zip(stimuli.ids, stimuli.pixels, strict=True):
        np.testing.assert_array_equal(pixels, images[id_])
    some = stimuli.select(["a/1.png", "10.png"])
    np.testing.assert_array_equal(some.pixels[1], images["10.png"])
    with pytest.raises(VentralError, match=r"unknown stimulus '3.png'; did you mean"):
        stimuli.select(["3.png"])


def test_what_is_wrong_with_images_is_said(tmp_path):
    grey = np.zeros((4, 4), np.uint8)
    for images, message in (
        ({"a": grey, "b": np.zeros((4, 5), np.uint8)}, "images of 2 sizes"),
        ({"a": b"no image"}, r"cannot read .*i.zip.a.: it is not an image"),
        ({}, "images of 0 sizes"),
    ):
        with pytest.raises(VentralError, match=message):
            read_zip(archive(tmp_path / "i.zip", images))
    for ids, pixels in ((("a",), np.zeros((1, 4, 4))), (("a", "a"), grey[None].repeat(2, 0)), (("a",), grey)):
        with pytest.raises(VentralError, match=r"stimuli are uint8|need as many different stimulus ids"):
            Stimuli(ids, pixels)


def test_litter_in_a_zip_is_no_stimulus_and_names_have_one_form(tmp_path):
    rng = np.random.default_rng(0)
    images = {
        n: rng.integers(0, 256, (6, 8, 3), dtype=np.uint8) for n in ("a/2.png", "a/1.GIF", "e\u0301.png", "plain")
    }
    litter = dict.fromkeys(("__MACOSX/a/._2.png", ".DS_Store", "a/.x.png", "readme.txt", "a/Thumbs.db"), b"?")
    path = archive(tmp_path / "i.zip", images | litter)
    assert names_in_zip(path) == read_zip(path).ids == ("a/1.GIF", "a/2.png", "plain", "é.png")
    np.testing.assert_array_equal(read_zip(path).select(["e\u0301.png"]).pixels[0], images["e\u0301.png"])


def test_a_zip_that_cannot_be_read_is_one_sentence(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    path = archive(tmp_path / "i.zip", {"a.png": grey, "b.png": grey})
    whole = path.read_bytes()
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    (tmp_path / "flipped.zip").write_bytes(whole[:200] + bytes([whole[200] ^ 255]) + whole[201:])
    encrypted = bytearray(whole)
    encrypted[6] |= 1
    encrypted[whole.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "encrypted.zip").write_bytes(encrypted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "twice.zip", "w") as target:
            target.writestr("é.png", b"")
            target.writestr("e\u0301.png", b"")
    for name, expected in (
        ("pipe", "a named pipe"),
        ("folder", "a folder"),
        ("absent", "no such file"),
        ("cut", "not a zip file"),
        ("flipped", "cannot"),
        ("encrypted", "encrypted"),
        ("twice", "two files .* are called 'é.png'"),
    ):
        with pytest.raises(VentralError, match=expected) as caught:
            read_zip(tmp_path / f"{name}.zip")
        assert "\n" not in str(caught.value) and f"{name}.zip" in str(caught.value)
