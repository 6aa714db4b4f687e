import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from ventralstream.data import Loader, Preprocessing, check_packed, load_set, pack_folder
from ventralstream.data import pack as pack_module
from ventralstream.data import packed as packed_module
from ventralstream.errors import Interrupted, VentralError

FILES = [
    "SHA256SUMS",
    "header.json",
    *(
        f"{split}/{name}"
        for split in ("train", "val")
        for name in ("ids.txt", "images.npy", "labels.npy", "skipped.txt")
    ),
]


@pytest.fixture
def folder(tmp_path, picture):
    """Two classes, 9 images to train on and 3 to validate on, of several sizes, modes and formats; two are broken."""
    root = tmp_path / "images"
    for i in range(5):
        picture(root / "train" / "ant" / f"{i}.jpg", 40 + i, 30)
    for i, mode in enumerate(["RGBA", "L", "P", "RGB"]):
        picture(root / "train" / "bee" / f"{i}.png", 16, 16 + i, mode)
    for i in range(3):
        picture(root / "val" / "bee" / f"{i}.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(root / "train" / "ant" / "0.jpg").save(root / "train" / "ant" / "0.jpg", exif=turned)
    deep = (np.arange(400, dtype=np.uint16).reshape(20, 20) * 160).astype(np.uint16)
    Image.fromarray(deep).save(root / "train" / "bee" / "1.png")
    whole = (root / "train" / "ant" / "3.jpg").read_bytes()
    (root / "train" / "ant" / "3.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "train" / "bee" / "2.png").write_text("no image")
    return root


@pytest.fixture
def pack(folder, tmp_path, monkeypatch):
    """Packs the folder, two images at a time."""
    monkeypatch.setattr(pack_module, "_AT_ONCE", 2 * 3 * 16 * 16)

    def run(out="packed", **options):
        options = {"size": 16, "workers": 0, "console": Console(file=io.StringIO())} | options
        return pack_folder(options.pop("folder", folder), tmp_path / out, **options)

    return run


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_packed_is_what_the_folder_holds(pack, folder, resize, workers):
    packed = pack(resize=resize, workers=workers)
    assert packed.images == {"train": 7, "val": 3} and packed.skipped == {"train": 2, "val": 0}
    assert sorted(contents(packed.folder)) == sorted(FILES)
    images = np.load(packed.folder / "train" / "images.npy", mmap_mode="r")
    ids = (packed.folder / "train" / "ids.txt").read_text().splitlines()
    assert images.shape == (7, 3, 16, 16) and images.dtype == np.uint8
    assert ids == [f"ant/{i}.jpg" for i in (0, 1, 2, 4)] + [f"bee/{i}.png" for i in (0, 1, 3)]
    for id_, image in zip(ids, images, strict=True):
        assert np.array_equal(image, Preprocessing(16, resize=resize).read(folder / "train" / id_)), id_
    assert np.load(packed.folder / "train" / "labels.npy").tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert np.load(packed.folder / "val" / "labels.npy").tolist() == [1, 1, 1], "numbered as in training"
    skipped = [line.split("\t") for line in (packed.folder / "train" / "skipped.txt").read_text().splitlines()]
    assert [id_ for id_, _ in skipped] == ["ant/3.jpg", "bee/2.png"]
    assert skipped[0][1].startswith("it is damaged or cut off") and skipped[1][1].startswith("it is not an image")
    header = json.loads((packed.folder / "header.json").read_text())
    assert header["classes"] == ["ant", "bee"] and header["size"] == 16 and header["resize"] == resize
    assert check_packed(packed.folder).train.images == 9


@pytest.mark.skipif(not Path("/usr/bin/sha256sum").exists(), reason="there is no sha256sum")
def test_the_checksums_are_sha256sums(pack):
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=pack().folder, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count(": OK") == len(FILES) - 1


def test_a_folder_of_classes_is_all_to_train_on(pack, folder):
    packed = pack(folder=folder / "val")
    assert packed.images == {"train": 3} and not (packed.folder / "val").exists()
    assert load_set("packed", packed.folder).info.classes == ("bee",)
    with pytest.raises(VentralError, match=r"has no 'val': nor had the folder it is made of"):
        load_set("packed", packed.folder, "val")


class PowerCut(BaseException):
    """What no part of the program expects."""


def test_cut_off_anywhere_it_is_carried_on_to_the_same_bits(pack, monkeypatch):
    """After each write that goes to the disk; before it, half of what was to be written may be there."""
    whole, flush, cuts = contents(pack("whole").folder), pack_module._flush, 0
    while True:
        count = 0

        def cut(file, at=cuts):
            nonlocal count
            count += 1
            if count == at + 1:
                if file.tell() > 128:  # not the first bytes, which are replaced at the end
                    file.write(b"half a line")
                    file.flush()
                raise PowerCut
            flush(file)

        out = f"cut{cuts}"
        monkeypatch.setattr(pack_module, "_flush", cut)
        try:
            pack(out)
        except PowerCut:
            monkeypatch.setattr(pack_module, "_flush", flush)
            assert contents(pack(out).folder) == whole, f"after {cuts} writes"
        else:
            break
        cuts += 1
    assert cuts == 2 * (5 + 2) + 2, "pixels and journal of each batch, then the first bytes of each split"


@pytest.mark.parametrize("name", ["write_sums", "write_text", "_packing"])
def test_cut_off_at_the_end_it_is_carried_on_to_the_same_bits(pack, monkeypatch, name, tmp_path):
    whole, calls = contents(pack("whole").folder), []

    def cut(*args):
        calls.append(args)
        raise PowerCut

    for out in ("a", "b"):
        monkeypatch.setattr(pack_module, name, cut)
        with pytest.raises(PowerCut):
            pack(out)
        monkeypatch.undo()
        assert contents(pack(out).folder) == whole


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_killed_twice_with_processes_that_decode(pack, tmp_path, monkeypatch):
    whole, flush = contents(pack("whole").folder), pack_module._flush

    def killed_after(count):
        writes = []

        def killed(file):
            flush(file)
            writes.append(file)
            if len(writes) == count:
                os.kill(os.getpid(), signal.SIGKILL)

        return killed

    for count in (3, 4):
        monkeypatch.setattr(pack_module, "_flush", killed_after(count))
        process = multiprocessing.get_context("fork").Process(target=pack, args=("out",), kwargs={"workers": 2})
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        with pytest.raises(VentralError, match="is unfinished; carry on with the command that began it"):
            load_set("packed", tmp_path / "out")
    monkeypatch.setattr(pack_module, "_flush", flush)
    assert contents(pack("out", workers=2).folder) == whole
    assert not (tmp_path / "out.part").exists()


def test_a_signal_ends_it_with_a_sentence(pack, monkeypatch):
    whole, flush = contents(pack("whole").folder), pack_module._flush

    def signalled(file):
        flush(file)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(pack_module, "_flush", signalled)
    with pytest.raises(Interrupted, match=r"after 2 of 9 images of 'train'; the same command carries on") as caught:
        pack("out")
    assert caught.value.code == 143
    monkeypatch.undo()
    assert contents(pack("out").folder) == whole


def test_a_disk_that_is_full_is_said(pack, monkeypatch, tmp_path):
    whole, flush, calls = contents(pack("whole").folder), pack_module._flush, []

    def full(file):
        calls.append(file)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        flush(file)

    monkeypatch.setattr(pack_module, "_flush", full)
    with pytest.raises(VentralError, match="no space left on device; when that is mended, the same command carries on"):
        pack("out")
    monkeypatch.undo()
    assert contents(pack("out").folder) == whole
    monkeypatch.setattr(pack_module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(VentralError, match=r"takes 0\.0 GB, and only 0\.0 GB are free there"):
        pack("other")
    assert not (tmp_path / "other.part").exists()


def test_what_was_begun_otherwise_is_not_carried_on(pack, folder, picture, monkeypatch, tmp_path):
    def cut(file):
        raise PowerCut

    monkeypatch.setattr(pack_module, "_flush", cut)
    with pytest.raises(PowerCut):
        pack("out")
    monkeypatch.undo()
    with pytest.raises(VentralError, match=r"out\.part' was begun with other images or options \(size, resize\)"):
        pack("out", size=20, resize="squash")
    picture(folder / "val" / "bee" / "9.jpg")
    with pytest.raises(VentralError, match=r"other images or options \(val\)"):
        pack("out")
    (tmp_path / "mine.part").mkdir()
    (tmp_path / "mine.part" / "thesis.txt").touch()
    with pytest.raises(VentralError, match="is in the way"):
        pack("mine")


def test_what_is_there_is_not_replaced(pack, tmp_path):
    first = pack("out")
    before = contents(first.folder)
    assert pack("out") == first and contents(first.folder) == before
    with pytest.raises(VentralError, match=r"out' exists, and is not these images packed so"):
        pack("out", size=20)
    (tmp_path / "file").touch()
    with pytest.raises(VentralError, match="exists"):
        pack("file")


def test_two_at_once_do_not_mix(pack, tmp_path, monkeypatch):
    whole, flush, others = contents(pack("whole").folder), pack_module._flush, []

    def meanwhile(file):
        flush(file)
        code = "import sys; from ventralstream.data import pack_folder; pack_folder(*sys.argv[1:], size=16, workers=0)"
        if not others:
            command = [sys.executable, "-c", code, str(tmp_path / "images"), str(tmp_path / "out")]
            others.append(subprocess.run(command, capture_output=True, text=True))

    monkeypatch.setattr(pack_module, "_flush", meanwhile)
    assert contents(pack("out").folder) == whole
    told = others[0].stderr.strip().splitlines()[-1]
    assert f"process {os.getpid()} on" in told and "is packing" in told and told.endswith("let it finish")
    assert not list(tmp_path.glob("out.*"))


def test_every_folder_is_a_class_with_images_and_the_set_is_not_among_them(pack, folder, tmp_path):
    assert pack("classes", folder=folder / "train").images == {"train": 7}
    with pytest.raises(VentralError, match=r"packed' is inside the images that are packed; choose a place outside"):
        pack("images/train/packed", folder=folder / "train")
    with pytest.raises(VentralError, match="is inside the images"):
        pack("images/train/packed")
    assert pack("images/packed").images == {"train": 7, "val": 3}
    (folder / "train" / "docs").mkdir()
    with pytest.raises(VentralError, match=r"there is no image of the class 'docs' in '.*train'"):
        pack("docs", folder=folder / "train")


def test_images_of_which_none_can_be_read(pack, folder):
    for path in (folder / "val" / "bee").iterdir():
        path.write_text("no image")
    with pytest.raises(VentralError, match=r"none of the 3 images in .*val' can be read; e\.g\. 'bee/0\.jpg': it is"):
        pack()


def test_progress_and_what_was_passed_over_are_shown(pack, folder):
    (folder / "train" / "ant" / "notes.txt").touch()
    text = io.StringIO()
    pack(console=Console(file=text, width=200))
    assert "passed over in" in text.getvalue() and "1 .txt" in text.getvalue()
    assert "packing train: 9/9 images, 2 skipped, in 0:00:0" in text.getvalue()


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    if how == "removed":
        path.unlink()
    elif how == "cut":
        path.write_bytes(whole[:-5])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif how == "foreign":
        np.save(path.open("wb"), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        path.unlink()
        path.mkdir()


HOW = ["removed", "cut", "empty", "flipped", "foreign", "folder"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", ["SHA256SUMS", "header.json", "train/images.npy", "train/labels.npy"])
def test_damage_is_one_sentence(pack, how, name):
    folder = pack().folder
    damage(folder / name, how)
    for read in (lambda: load_set("packed", folder), lambda: check_packed(folder)):
        with pytest.raises(VentralError, match=r"packed set|is damaged|cannot be read") as caught:
            read()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", [how for how in HOW if how != "flipped"])
def test_of_large_files_size_and_kind_are_looked_at(pack, how, monkeypatch):
    folder = pack().folder
    monkeypatch.setattr(packed_module, "CHECKED", 0)
    assert len(load_set("packed", folder)) == 7
    damage(folder / "train" / "images.npy", how)
    with pytest.raises(VentralError, match="is damaged"):
        load_set("packed", folder)


def test_what_is_no_packed_set_is_said(pack, folder, tmp_path):
    with pytest.raises(VentralError, match=r"is no packed set: 'header\.json': there is no such file; make one with"):
        load_set("packed", folder)
    with pytest.raises(VentralError, match="is no packed set"):
        load_set("packed", tmp_path / "nowhere")
    packed = pack().folder
    (packed / "header.json").write_text(json.dumps({"type": "preprocessing"}))
    with pytest.raises(VentralError, match="is of something else"):
        load_set("packed", packed)
    for images in (np.zeros((7, 3, 16, 16), np.float32), np.zeros((7, 16, 16, 3), np.uint8)):
        packed = pack(f"other{images.dtype}").folder
        np.save(packed / "train" / "images.npy", images)
        header = packed_module.read_header(packed)
        packed_module.write_sums(packed, packed_module.files_of(header), Console(file=io.StringIO()))
        with pytest.raises(VentralError, match=r"expected uint8 \[7, 3, 16, 16\] and int64 \[7\]"):
            load_set("packed", packed)


@pytest.mark.parametrize("workers", [0, 2])
def test_packed_images_are_loaded_as_those_of_the_folder(pack, folder, workers):
    packed = pack().folder
    val, reference = load_set("packed", packed, "val"), load_set("folder", folder, "val", size=16)
    assert val.info.classes == reference.info.classes and val.preprocessing == reference.preprocessing
    for (a, truth_a), (b, truth_b) in zip(
        Loader(val, 2, train=False, workers=workers), Loader(reference, 2, train=False), strict=True
    ):
        assert torch.equal(a, b) and torch.equal(truth_a, truth_b)


def test_packed_images_are_trained_on_as_images_in_memory_are(pack):
    train = load_set("packed", pack().folder)
    options = {"train": True, "seed": 1}
    whole = list(Loader(train, 3, **options))
    assert len(whole) == 2 and whole[0][0].shape == (3, 3, 16, 16)
    for workers in (0, 1, 3):
        for (a, truth_a), (b, truth_b) in zip(whole, Loader(train, 3, workers=workers, **options), strict=True):
            assert torch.equal(a, b) and torch.equal(truth_a, truth_b)
    half = load_set("packed", pack().folder, subset=4)
    assert len(half) == 4 and half.labels.tolist() == train.labels[half.rows].tolist()
    ((images, _),) = Loader(half, 4, train=False)
    assert torch.equal(images, train.preprocessing.normalise(train.images[half.rows]))
    with pytest.raises(VentralError, match="16 pixels wide and high, not 32"):
        load_set("packed", pack().folder, size=32)
    with pytest.raises(VentralError, match="'packed' has 7"):
        load_set("packed", pack().folder, subset=8)


def test_other_images_have_another_fingerprint(pack, folder, picture):
    before = load_set("packed", pack("a").folder).fingerprint()
    assert before == load_set("packed", pack("b").folder).fingerprint()
    picture(folder / "train" / "bee" / "7.jpg")
    assert "there were 7, now there are 8" in before.difference(load_set("packed", pack("c").folder).fingerprint())
    assert load_set("packed", pack("d", size=20).folder).fingerprint() != before


def test_tiny_imagenet(real_data, tmp_path):
    """Two of its classes: packed, they are its pixels."""
    source = real_data("tiny-imagenet-30")
    root = tmp_path / "two"
    names = sorted(p.name for p in (source / "train").iterdir())[:2]
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        for name in names:
            (root / split / name).symlink_to(source / split / name)
    began = time.monotonic()
    packed = pack_folder(root, tmp_path / "out", size=64, workers=2, console=Console(file=io.StringIO()))
    assert packed.images == {"train": 1000, "val": 100} and packed.skipped == {"train": 0, "val": 0}
    assert time.monotonic() - began < 60
    val, reference = load_set("packed", packed.folder, "val"), load_set("folder", root, "val", size=64)
    image = Image.open(reference.folder / reference.ids[7]).convert("RGB")
    assert np.array_equal(val.images[7].permute(1, 2, 0), np.asarray(image))
