import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from ventralstream.data.stimuli import Stimuli, read_zip
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
