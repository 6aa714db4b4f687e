"""The solution times that Kar et al. publish, made here as Python and as MATLAB write HDF5."""

import h5py
import numpy as np
import pytest

from ventralstream.brain import image_metrics, ost_consistency
from ventralstream.brain.recordings.datasets import image_metrics_images, is_image_metrics
from ventralstream.errors import VentralError

N = 6
OBJECTS = ["bear", "car", "dog"] * 2
TIMES = np.array([100.0, np.nan, 130, 145, np.inf, 160])
I1 = np.linspace(0.5, 3, N)
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 5, 4, 3)).astype(np.uint8)


def codes(file, texts):
    """Text as MATLAB's v7.3 files have it: references to arrays of character codes, [length, 1]."""
    references = []
    for i, text in enumerate(texts):
        file[f"#refs#/{len(file.get('#refs#', []))}_{i}"] = np.array([[ord(c)] for c in text], dtype=np.uint16)
        references.append(file[f"#refs#/{len(file['#refs#']) - 1}_{i}"].ref)
    return np.array([references], dtype=h5py.ref_dtype)


def write(path, layout="python"):
    with h5py.File(path, "w") as file:
        row = (lambda x: x[None]) if "matlab" in layout else np.asarray  # a column of MATLAB's
        file["ost"], file["i1"] = row(TIMES), row(I1)
        if layout == "matlab":
            file["images"] = PIXELS.transpose(0, 3, 2, 1)
            file["images"].attrs["MATLAB_class"] = b"uint8"
            file["obj"] = codes(file, OBJECTS)
        elif layout == "matlab's h5write":  # as the authors' page lists it: no attributes, objects by number
            file["images"], file["obj"] = PIXELS.transpose(0, 3, 2, 1) / 1.0, np.array([[1.0, 4, 5] * 2])
        elif layout == "names":
            file["images"], file["obj"] = [f"im{i}.png" for i in range(N)], OBJECTS
        elif layout == "channels first":
            file["images"], file["obj"] = PIXELS.transpose(0, 3, 1, 2) / 255, np.arange(N) % 3
        else:
            file["images"], file["obj"] = PIXELS, OBJECTS
    return path


@pytest.mark.parametrize("layout", ["python", "matlab", "matlab's h5write", "names", "channels first"])
def test_the_authors_own_file_is_read(tmp_path, layout):
    path = write(tmp_path / "dataset.h5", layout)
    assert is_image_metrics(path)
    monkey = image_metrics(path)
    assert monkey.dims == ("presentation",) and np.isnan(monkey.values).tolist() == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    np.testing.assert_array_equal(monkey["i1"], I1)
    assert monkey["object_name"].values.tolist() == (["0", "1", "2"] * 2 if layout == "channels first" else OBJECTS)
    images = image_metrics_images(path)
    if layout == "names":
        assert images is None and monkey["stimulus_id"].values[0] == "im0.png"
    else:
        np.testing.assert_array_equal(images.pixels, PIXELS)
        assert monkey["stimulus_id"].values.tolist() == list(images.ids) == [f"image{i:04}" for i in range(1, N + 1)]
    with pytest.raises(VentralError, match="a comparison of solution times takes"):
        ost_consistency(monkey, monkey)


def test_another_file_is_a_sentence_that_says_where_to_get_it(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["ost"] = TIMES
    assert not is_image_metrics(tmp_path / "other.h5") and not is_image_metrics(tmp_path / "absent.h5")
    with pytest.raises(
        VentralError, match=r"no dataset 'i1'; expected .* https://github.com/kohitij-kar/image_metrics"
    ):
        image_metrics(tmp_path / "other.h5")
    with h5py.File(write(tmp_path / "short.h5"), "a") as file:
        del file["i1"]
        file["i1"] = I1[:3]
    with pytest.raises(VentralError, match="6 solution times, 3 I1 and 6 objects"):
        image_metrics(tmp_path / "short.h5")
    with pytest.raises(VentralError, match="does not exist"):
        image_metrics(tmp_path / "absent.h5")
