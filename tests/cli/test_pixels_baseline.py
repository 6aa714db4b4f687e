"""The `pixels` baseline of `ventral brain` opens images as everything else does."""

import numpy as np
import pytest
from PIL import Image

from ventralstream.cli.brain.models import FeatureOptions, open_features
from ventralstream.errors import VentralError


def test_16_bits_transparency_and_orientation(tmp_path):
    Image.fromarray(np.full((4, 4), 0x40FF, np.uint16)).save(tmp_path / "0.png")
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "1.png")
    turned = Image.new("L", (8, 8), 0)
    turned.paste(255, (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x112] = 6
    turned.save(tmp_path / "2.png", exif=exif)
    (tmp_path / "._2.png").write_bytes(b"")
    (features,) = open_features(["pixels"], tmp_path, FeatureOptions(), "these")
    pixels = features.areas["pixels"]
    assert pixels["stimulus_id"].values.tolist() == ["0.png", "1.png", "2.png"]
    images = pixels.values.reshape(3, 32, 32, 3)
    np.testing.assert_allclose(images[0], 64 / 255, atol=1e-6)
    np.testing.assert_allclose(images[1], 128 / 255, atol=1e-6)
    assert images[2][:, 24:].min() > 0.9 and images[2][:, :8].max() < 0.1


def test_a_broken_file_is_one_sentence(tmp_path):
    (tmp_path / "0.png").write_text("text")
    with pytest.raises(VentralError, match=r"cannot read .*0\.png': it is not an image"):
        open_features(["pixels"], tmp_path, FeatureOptions(), "these")
