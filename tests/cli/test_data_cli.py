"""`ventral data`, and training and evaluating on what it packed."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ventralstream.data import load_set
from ventralstream.training.folder import open_run


@pytest.fixture
def folder(tmp_path):
    """Two classes, bright and dark, 12 images each to train on and 6 to validate on, and one that is broken."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6)):
        for name, grey in (("bright", 160), ("dark", 40)):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = (grey + rng.integers(0, 60, (20, 24, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / name / f"{i}.png")
    (tmp_path / "images" / "train" / "dark" / "broken.png").touch()
    return tmp_path / "images"


def test_pack_check_train_and_evaluate(tmp_path, ventral, folder):
    packed, out = tmp_path / "packed", tmp_path / "run"
    code, printed, said = ventral("data", "pack", folder, packed, "--size", 16, "--squash", "--workers", 0)
    assert code == 0, said
    skipped = packed / "train" / "skipped.txt"
    assert printed.splitlines() == [
        f"{packed}: 24 images of 'train'; 1 could not be read: {skipped}",
        f"{packed}: 12 images of 'val'",
    ]
    assert skipped.read_text() == "dark/broken.png\tit is empty.\n" and "packing train: 25/25 images" in said
    assert load_set("packed", packed).info.preprocessing.resize == "squash"
    assert ventral("data", "check", packed)[1] == f"{packed}: whole; 2 classes, 16 x 16 pixels\n"

    options = ["--batch-size", 8, "--epochs", 2, "--threads", 1, "--out", out]
    code, _, said = ventral("train", "timedecay_shallow_cifar", "--data", "packed", "--root", packed, *options)
    assert code == 0, said
    assert open_run(out).data.classes == ("bright", "dark")
    code, printed, said = ventral("evaluate", out, "--json")
    assert code == 0, said
    on_packed = json.loads(printed)
    assert on_packed["images"] == 12
    code, printed, said = ventral("evaluate", out, "--data", "folder", "--root", folder, "--json")
    assert code == 0, said
    assert json.loads(printed)["accuracy"] == on_packed["accuracy"]

    code, _, said = ventral("evaluate", out, "--data", "packed", "--root", folder)
    assert code == 2 and "is no packed set" in said and said.count("\n") == 1
    (packed / "val" / "images.npy").write_bytes(b"")
    code, _, said = ventral("data", "check", packed)
    assert code == 2 and "val/images.npy' is not what was packed" in said and said.count("\n") == 1


def test_a_run_does_not_go_on_with_other_packed_images(tmp_path, ventral, folder):
    packed, out = tmp_path / "packed", tmp_path / "run"
    pack = ["data", "pack", folder, packed, "--workers", 0, "--squash", "--size", 16]
    assert ventral(*pack)[0] == 0
    options = ["--data", "packed", "--root", packed, "--batch-size", 8, "--threads", 1, "--checkpoint-every", 0]
    assert ventral("train", "timedecay_shallow_cifar", *options, "--epochs", 1, "--out", out)[0] == 0
    last = sorted((out / "checkpoints").iterdir())[-1]
    shutil.rmtree(last)  # there is something left to do
    packed.rename(tmp_path / "before")
    Image.new("RGB", (20, 24)).save(folder / "train" / "dark" / "0.png")
    assert ventral(*pack)[0] == 0
    code, _, said = ventral("train", "--resume", out)
    assert code == 2 and "are not those that" in said and "were replaced by others of the same names" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["pack", "nowhere", "out", "--size", 16], "the image folder 'nowhere' does not exist"),
        (["pack", ".", "out", "--size", 16], "holds no image"),
        (["pack", ".", "out", "--size", 0], "the option 'size' of 'preprocessing' is 0; expected"),
        (["pack", ".", "out"], "--size"),
        (["pack", ".", "out", "--size", 16, "--workers", -1], "--workers is -1; expected at least 0"),
        (["check", "nowhere"], "'nowhere' is no packed set"),
        (["chekc", "nowhere"], "chekc"),
    ],
)
def test_bad_input_is_one_sentence(ventral, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    code, printed, said = ventral("data", *options)
    assert code == 2 and printed == "" and message in said and said.count("\n") == 1
