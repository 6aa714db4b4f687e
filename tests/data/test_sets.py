import pickle
import shutil

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100, ImageFolder

from ventralstream.data.loader import Loader
from ventralstream.data.sets import load_set
from ventralstream.data.source import SetInfo
from ventralstream.errors import VentralError
from ventralstream.jsonable import from_json


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Writes a CIFAR of 4 images a file in the official layout, and lets torchvision accept its checksums."""

    def write(name):
        dataset = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
        monkeypatch.setattr(dataset, "_check_integrity", lambda self: True)
        monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": None})
        folder = tmp_path / dataset.base_folder
        folder.mkdir()
        key = "labels" if name == "cifar10" else "fine_labels"
        for i, (file, _) in enumerate((*dataset.train_list, *dataset.test_list)):
            pixels = np.random.default_rng(i).integers(0, 256, (4, 3072), dtype=np.uint8)
            (folder / file).write_bytes(pickle.dumps({"data": pixels, key: [i, 1, 2, 3]}))
        classes = [f"class{i}" for i in range(100 if name == "cifar100" else 10)]
        (folder / dataset.meta["filename"]).write_bytes(pickle.dumps({dataset.meta["key"]: classes}))
        return tmp_path

    return write


@pytest.fixture
def folder(tmp_path, picture):
    """Three classes to train, of which the validation set lacks the second."""
    for name in ("ant", "bee", "cat"):
        for i in range(4):
            picture(tmp_path / "train" / name / f"{i}.png")
    for name in ("ant", "cat"):
        picture(tmp_path / "val" / name / "0.jpg")
    return tmp_path


def test_scenes():
    train, val = load_set("scenes", subset=30), load_set("scenes", split="val", subset=30)
    assert train.images.shape == (30, 1, 32, 32) and len(train) == 30
    assert not torch.equal(train.images, val.images)
    assert train.info.classes == tuple("0123456789") and train.info.num_classes == 10
    assert train.preprocessing.channels == 1 and train.preprocessing.size == 32
    plain = load_set("scenes", subset=30, clutter=[0])
    assert plain.images.float().mean() < train.images.float().mean()
    assert load_set("scenes", subset=3, size=48).info.preprocessing.size == 48


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_read_as_it_is(cifar, name):
    root = cifar(name)
    train, val = load_set(name, root), load_set(name, root, "val")
    assert len(train) == (20 if name == "cifar10" else 4) and len(val) == 4
    assert train.images.shape[1:] == (3, 32, 32) and train.images.dtype == torch.uint8
    stored = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
    assert np.array_equal(train.images[:4].flatten(1), stored)
    assert train.labels[:4].tolist() == [0, 1, 2, 3]
    assert train.info.classes[1] == "class1"
    assert train.info.num_classes == (10 if name == "cifar10" else 100)


def test_cifar_that_is_absent_or_damaged(cifar, tmp_path, monkeypatch):
    with pytest.raises(VentralError, match=r"no 'data_batch_1'.*CIFAR10\(.*download=True"):
        load_set("cifar10", tmp_path)
    with pytest.raises(VentralError, match="cifar-100-python"):
        load_set("cifar100", tmp_path)
    root = cifar("cifar10")
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: False)
    with pytest.raises(VentralError, match="damaged"):
        load_set("cifar10", root)


def test_folder_agrees_with_torchvision(folder):
    ours, theirs = load_set("folder", folder, size=24), ImageFolder(folder / "train")
    assert ours.info.classes == tuple(theirs.classes) == ("ant", "bee", "cat")
    named = {str(ours.folder / id_): label for id_, label in zip(ours.ids, ours.labels.tolist(), strict=True)}
    assert named == dict(theirs.samples)


def test_labels_of_validation_are_those_of_training(folder):
    val = load_set("folder", folder, "val")
    assert val.info.classes == ("ant", "bee", "cat")
    assert dict(zip(val.ids, val.labels.tolist(), strict=True)) == {"ant/0.jpg": 0, "cat/0.jpg": 2}


def test_a_folder_without_training_images_has_its_own_classes(tmp_path, picture):
    picture(tmp_path / "val" / "cat" / "0.png")
    assert load_set("folder", tmp_path, "val").info.classes == ("cat",)


def test_what_is_not_in_a_class_folder_is_passed_over(folder, picture):
    picture(folder / "train" / "montage.png")
    picture(folder / "train" / ".cache" / "0.png")
    (folder / "train" / "ant" / "notes.txt").touch()
    train = load_set("folder", folder)
    assert len(train) == 12 and train.info.num_classes == 3
    assert "1 .txt" in train.passed_over and "1 image not in a class folder" in train.passed_over
    assert load_set("folder", folder, "val").passed_over == ""


def test_folders_that_do_not_fit(folder, tmp_path, picture):
    with pytest.raises(VentralError, match=r"no folder '.*train'.*cat.1\.jpg"):
        load_set("folder", tmp_path / "absent")
    (folder / "train" / "dog").mkdir()
    with pytest.raises(VentralError, match="no image of the class 'dog'"):
        load_set("folder", folder)
    picture(folder / "val" / "ants" / "0.png")
    with pytest.raises(VentralError, match=r"unknown class 'ants'.*did you mean 'ant'"):
        load_set("folder", folder, "val")
    picture(tmp_path / "flat" / "train" / "0.png")
    with pytest.raises(VentralError, match="is in a class folder"):
        load_set("folder", tmp_path / "flat")
    (tmp_path / "hollow" / "train" / "cat").mkdir(parents=True)
    with pytest.raises(VentralError, match="holds no image"):
        load_set("folder", tmp_path / "hollow")


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "__MACOSX", ".Trash"])
def test_hidden_folders_are_no_classes_and_hidden_files_no_images(folder, picture, hidden):
    picture(folder / "train" / hidden / "0.png")
    picture(folder / "val" / hidden / "0.png")
    picture(folder / "train" / "ant" / "._0.png")
    picture(folder / "train" / "ant" / hidden / "0.png")
    assert len(load_set("folder", folder)) == 12
    assert load_set("folder", folder, "val").info.classes == ("ant", "bee", "cat")


@pytest.fixture
def tiny_imagenet(tmp_path, picture):
    """Tiny-ImageNet as it is published, of 2 classes: boxes beside the images, and a table of the validation images."""
    root = tmp_path / "tiny-imagenet-200"
    for wnid in ("n01443537", "n01629819"):
        for i in range(3):
            picture(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", 64, 64)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t10\t63\t58\n")
    for i in range(4):
        picture(root / "val" / "images" / f"val_{i}.JPEG", 64, 64)
    lines = [f"val_{i}.JPEG\t{wnid}\t0\t32\t44\t62\n" for i, wnid in enumerate(["n01629819", "n01443537"] * 2)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    picture(root / "test" / "images" / "test_0.JPEG", 64, 64)
    (root / "wnids.txt").write_text("n01629819\nn01443537\n")
    return root


def test_tiny_imagenet_is_read_as_it_is_published(tiny_imagenet):
    train, val = load_set("folder", tiny_imagenet, size=64), load_set("folder", tiny_imagenet, "val", size=64)
    assert train.info == val.info and train.info.classes == ("n01443537", "n01629819")
    assert len(train) == 6 and train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert val.ids == tuple(f"images/val_{i}.JPEG" for i in range(4)) and val.labels.tolist() == [1, 0, 1, 0]
    ((images, labels),) = Loader(val, 4, train=False)
    assert images.shape == (4, 3, 64, 64) and labels.tolist() == [1, 0, 1, 0]
    assert load_set("folder", tiny_imagenet, "val", subset=2).labels.tolist() != []


def test_tables_of_images_that_do_not_fit(tiny_imagenet, picture):
    table = tiny_imagenet / "val" / "val_annotations.txt"
    picture(tiny_imagenet / "val" / "images" / "other.JPEG")
    assert "1 image not named in val_annotations.txt" in load_set("folder", tiny_imagenet, "val").passed_over
    whole = table.read_text()
    table.write_text(whole.replace("n01629819", "n01629818"))
    with pytest.raises(VentralError, match=r"unknown class 'n01629818'.*val_annotations.txt.*did you mean 'n01629819'"):
        load_set("folder", tiny_imagenet, "val")
    for damaged in (b"val_0.JPEG n01629819", b"\xff\xfe\x00", b""):
        table.write_bytes(damaged)
        with pytest.raises(VentralError, match=r"cannot be read as Tiny-ImageNet's|no image in .* is named in val_ann"):
            load_set("folder", tiny_imagenet, "val")
    table.write_text(whole)
    shutil.rmtree(tiny_imagenet / "train")
    assert load_set("folder", tiny_imagenet, "val").info.classes == ("n01443537", "n01629819")


def test_class_folders_that_do_not_fit_are_said_with_their_number(folder, picture):
    for name in ("dog", "emu", "fox"):
        (folder / "train" / name).mkdir()
    with pytest.raises(VentralError, match=r"no image of the class 'dog' .* nor of 2 other classes"):
        load_set("folder", folder)
    for name in ("gnu", "hen"):
        (folder / "val" / name).mkdir()
    with pytest.raises(VentralError, match=r"unknown class 'gnu'.*one of 2 folders there"):
        load_set("folder", folder, "val")
    picture(folder / "train" / "new\nline" / "0.png")
    with pytest.raises(VentralError, match=r"new\\nline.*rename it"):
        load_set("folder", folder)


def test_a_set_that_is_not_there_says_where_to_get_it(tmp_path):
    for name in ("cifar10", "cifar100"):
        with pytest.raises(VentralError, match=r"https://www\.cs\.toronto\.edu/~kriz/cifar\.html"):
            load_set(name, tmp_path)
    with pytest.raises(VentralError, match=r"https://image-net\.org"):
        load_set("folder", tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "folder", "flip"])
@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
def test_cifar_with_a_damaged_file_is_refused(tmp_path, damage, file):
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list, ("batches.meta", "")):
        (folder / name).write_bytes(b"\x80\x04}.")
    (folder / file).unlink()
    if damage == "folder":
        (folder / file).mkdir()
    else:
        (folder / file).write_bytes({"cut": b"\x80\x04", "empty": b"", "flip": b"\x80\x05}."}[damage])
    with pytest.raises(VentralError, match=r"damaged|there is no") as caught:
        load_set("cifar10", tmp_path)
    assert "kriz/cifar.html" in str(caught.value)


def test_subset_is_the_first_of_a_seeded_permutation(cifar, folder):
    root = cifar("cifar10")
    whole = load_set("cifar10", root)
    ten, four, other = (load_set("cifar10", root, subset=n, seed=s).images for n, s in ((10, 1), (4, 1), (10, 2)))
    assert torch.equal(ten[:4], four) and not torch.equal(ten, other)
    rows = [[torch.equal(image, w) for w in whole.images].index(True) for image in ten]
    assert len(set(rows)) == 10 and rows != sorted(rows)
    some = load_set("folder", folder, subset=5)
    assert len(some) == len(set(some.ids)) == 5
    assert [some.info.classes[label] for label in some.labels] == [id_.split("/")[0] for id_ in some.ids]
    with pytest.raises(VentralError, match=r"subset of 21 .* has 20"):
        load_set("cifar10", root, subset=21)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("cifar",), {}, "unknown image set 'cifar'; did you mean 'cifar10'"),
        (("cifar10", ".", "test"), {}, "unknown split 'test'"),
        (("cifar10",), {}, "needs a root"),
        (("cifar10", "."), {"size": 64}, "32 pixels"),
        (("cifar10", "."), {"clutter": [1]}, "only 'scenes' have clutter"),
        (("scenes",), {"subset": 0}, "a subset of 1 or more"),
        (("scenes",), {"seed": -1}, "a seed of 0 or more"),
        (("scenes",), {"size": 0}, "a size of 16"),
    ],
)
def test_bad_arguments(monkeypatch, arguments, options, message):
    monkeypatch.delenv("VENTRALSTREAM_DATA", raising=False)
    with pytest.raises(VentralError, match=message):
        load_set(*arguments, **options)


def test_info_survives_json():
    info = load_set("scenes", subset=1).info
    assert from_json(info.to_json()) == info and isinstance(info, SetInfo)


def test_real_cifar10(real_data):
    train = load_set("cifar10", real_data("."))
    assert train.images.shape == (50_000, 3, 32, 32) and train.labels.bincount().tolist() == [5000] * 10
    assert train.info.classes[:2] == ("airplane", "automobile")
    pixels = train.images.transpose(0, 1).flatten(1)[:, ::7].float() / 255
    assert pixels.mean(1).tolist() == pytest.approx(train.preprocessing.mean, abs=2e-3)
    assert pixels.std(1).tolist() == pytest.approx(train.preprocessing.std, abs=2e-3)
    assert len(load_set("cifar10", real_data("."), "val", subset=100)) == 100


def test_real_folder(real_data):
    root = real_data("tiny-imagenet-30")
    train, val = load_set("folder", root, size=64), load_set("folder", root, "val", size=64)
    assert (len(train), len(val)) == (15_000, 1_500)
    assert train.info.classes == val.info.classes and train.info.num_classes == 30
    assert train.labels.bincount().tolist() == [500] * 30 and val.labels.bincount().tolist() == [50] * 30
