"""What lies below a folder: nothing unasked becomes a stimulus, nothing vanishes unsaid, nothing hangs."""

import os
import unicodedata

import pytest

from ventralstream.data import fingerprint, list_folder, list_images, load_set, read_batches
from ventralstream.data.folder import Preprocessing
from ventralstream.errors import VentralError
from ventralstream.jsonable import from_json

HIDDEN = (
    ".ipynb_checkpoints/a-checkpoint.png",
    "._a.png",
    ".DS_Store",
    "__MACOSX/a.png",
    "b/__MACOSX/._b.png",
    "Thumbs.db",
)


def test_hidden_files_and_folders_are_no_stimuli(tmp_path, picture):
    for name in ("a.png", "b/b.png", *(n for n in HIDDEN if n.endswith("png"))):
        picture(tmp_path / name)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "Thumbs.db").touch()
    listing = list_folder(tmp_path)
    assert listing.ids == ("a.png", "b/b.png")
    assert listing.hidden == 6 and listing.passed_over == ""
    (tmp_path / "c").mkdir()
    picture(tmp_path / "c" / "._c.png")
    with pytest.raises(VentralError, match=r"holds no image.*1 hidden"):
        list_folder(tmp_path / "c")


def test_other_endings_are_counted_and_named(tmp_path, picture):
    names = ["a.gif", "b.ppm", "c.PGM", "d.jfif", "e.JPG"]
    for name in names:
        picture(tmp_path / name, mode="L" if name == "c.PGM" else "RGB")
    for name in ("1.heic", "2.HEIC", "notes.txt", "README", "odd.\x1b[2J"):
        (tmp_path / name).touch()
    listing = list_folder(tmp_path)
    assert listing.ids == tuple(sorted(names))
    assert dict(listing.others) == {".heic": 2, ".txt": 1, "": 1, ".\x1b[2j": 1}
    assert "5 files whose endings are no image's (2 .heic" in listing.passed_over
    assert listing.passed_over.isprintable()
    batch = next(read_batches(tmp_path, list_images(tmp_path), 5, Preprocessing(8)))
    assert len(batch.ids) == 5 and not batch.skipped
    for name in names:
        (tmp_path / name).unlink()
    with pytest.raises(VentralError, match=r"holds no image.*\.heic"):
        list_folder(tmp_path)


def test_links_that_lead_in_a_circle_end(tmp_path, picture):
    for i in range(9):  # each leads to all others: without a memory, 9! ways
        picture(tmp_path / f"{i}" / "x.png")
    for i in range(9):
        for j in range(9):
            (tmp_path / f"{i}" / f"to_{j}").symlink_to(tmp_path / f"{j}")
    ids = list_images(tmp_path)
    assert {f"{i}/x.png" for i in range(9)} <= set(ids) and len(ids) < 9 * 9
    assert ids == list_images(tmp_path)


def test_pipes_sockets_and_broken_links_are_skipped_and_said(tmp_path, picture):
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to("gone")
    (batch,) = read_batches(tmp_path, list_images(tmp_path), 8, Preprocessing(8))
    assert batch.ids == ("a.png",)
    assert [s.id for s in batch.skipped] == ["b.png", "c.png"]
    assert "named pipe" in batch.skipped[0].reason and "link to nothing" in batch.skipped[1].reason


def test_names_that_are_odd(tmp_path, picture):
    picture(tmp_path / "two\nlines.png")
    picture(tmp_path / unicodedata.normalize("NFD", "é.png"))
    long = "x" * 250 + ".png"
    picture(tmp_path / long)
    picture(tmp_path / "0.png").rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    listing = list_folder(tmp_path)
    assert listing.ids == tuple(sorted(["two\nlines.png", "é.png", long]))
    assert listing.unnameable == 1 and "1 image whose names are not UTF-8" in listing.passed_over
    (batch,) = read_batches(tmp_path, listing.ids, 8, Preprocessing(8))
    assert batch.ids == listing.ids and not batch.skipped
    picture(tmp_path / "é.png")
    with pytest.raises(VentralError, match=r"two files .* are called 'é.png', in two normal forms"):
        list_folder(tmp_path)


def test_folders_that_cannot_be_listed(tmp_path):
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name, expected in (("x" * 300, "too long"), ("\0", "null byte"), ("circle", "symbolic"), ("no", "not exist")):
        with pytest.raises(VentralError, match=rf"the image folder .*{expected}"):
            list_folder(tmp_path / name)


def test_a_fingerprint_tells_what_happened_to_a_folder(tmp_path, picture):
    for i in range(4):
        picture(tmp_path / f"{i}.png")
    big = tmp_path / "big.bmp"
    picture(big, 300, 300)

    def now():
        return fingerprint(tmp_path, list_images(tmp_path))

    before = now()
    assert from_json(before.to_json()) == before and before.difference(now()) == ""
    os.utime(tmp_path / "0.png")
    assert before.difference(now()) == "", "copied or touched is not changed"
    picture(tmp_path / "4.png")
    assert before.difference(now()) == "there were 5, now there are 6"
    (tmp_path / "3.png").unlink()
    assert "other names" in before.difference(now())
    (tmp_path / "4.png").rename(tmp_path / "3.png")
    assert "replaced" in before.difference(now())
    picture(tmp_path / "3.png")
    assert before.difference(now()) == ""
    for at in (60, 300 * 300 * 3 // 2 + 100, -2):  # of the same size
        data = bytearray(big.read_bytes())
        data[at] ^= 1
        big.write_bytes(data)
        assert "replaced" in before.difference(now())
        data[at] ^= 1
        big.write_bytes(data)
    os.mkfifo(tmp_path / "pipe.png")
    assert now().images == 6


def test_the_fingerprint_of_a_training_set(tmp_path, picture):
    for name in ("ant", "bee"):
        for i in range(3):
            picture(tmp_path / "train" / name / f"{i}.png")
    before = load_set("folder", tmp_path).fingerprint()
    assert before.difference(load_set("folder", tmp_path).fingerprint()) == ""
    picture(tmp_path / "train" / "bee" / "1.png", mode="L")
    assert "replaced" in before.difference(load_set("folder", tmp_path).fingerprint())
    picture(tmp_path / "train" / "bee" / "3.png")
    assert "there were 6" in before.difference(load_set("folder", tmp_path).fingerprint())
