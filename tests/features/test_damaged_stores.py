"""Damage to stores, half-written and finished: one sentence, or the same numbers; never other ones."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image
from small_features import contents, pictures, tiny
from zarr.storage import LocalStore

import ventralstream as vs
from ventralstream.errors import Interrupted, VentralError
from ventralstream.features import journal
from ventralstream.features.assemblies import features_from_store
from ventralstream.features.extraction import open_features, verify

RECORDS = (vs.Record("v1", steps=[1, 3]), vs.Record("it", reduce="mean"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten pictures, one of them broken, so that batches of three do not end where chunks do."""
    return pictures(tmp_path_factory.mktemp("data") / "images", 10, broken=[4])


def run(folder, out, **options):
    return vs.extract(tiny(), folder, RECORDS, out, **({"batch_size": 3, "progress": False} | options))


@pytest.fixture(scope="module")
def whole(folder):
    return run(folder, folder.parent / "whole.zarr").path


@pytest.fixture(scope="module")
def expected(whole):
    return contents(whole)


def half_written(folder, out, batches=2):
    """Leaves what an extraction leaves that is interrupted after so many batches."""
    net, calls = tiny(), []

    def interrupt(*_):
        calls.append(1)
        if len(calls) > batches:
            raise KeyboardInterrupt

    net.register_forward_pre_hook(interrupt)
    with pytest.raises(Interrupted, match=rf"interrupted after {3 * batches} of 10 images; the same request will"):
        vs.extract(net, folder, RECORDS, out, batch_size=3, progress=False)
    return out.with_name(out.name + ".part")


@pytest.fixture(scope="module")
def half(folder):
    return half_written(folder, folder.parent / "half.zarr")


@pytest.fixture
def damage(half, tmp_path):
    """A copy of the half-written store, to be damaged, and where it would be finished."""
    return Path(shutil.copytree(half, tmp_path / "f.zarr.part")), tmp_path / "f.zarr"


def missing(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)


def a_folder(path):
    path.unlink()
    path.mkdir()


def other_json(path):
    path.write_text("[1, 2]\n")


def twice(path):
    path.write_bytes(path.read_bytes() * 2)


DAMAGES = (missing, empty, cut, flipped, a_folder, other_json, twice)
FILES = ("journal.jsonl", "zarr.json", "v1/zarr.json", "v1/activations/zarr.json", "v1/activations/c/1/0/0/0/0")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_half_is_carried_on_to_the_same_numbers_or_refused(folder, damage, expected, file, how):
    part, out = damage
    how(part / file)
    try:
        run(folder, out)
    except VentralError as error:
        assert file == "journal.jsonl" and "\n" not in str(error) and "--no-resume" in str(error)
        assert not out.exists()
        run(folder, out, resume=False)
    same(out, expected)


def same(out, expected):
    (values, attributes), (wanted, wanted_attributes) = contents(out), expected
    assert values.keys() == wanted.keys() and attributes == wanted_attributes
    for key, value in values.items():
        np.testing.assert_array_equal(value, wanted[key], strict=True)
    verify(out)


def test_a_lost_folder_is_written_again_and_said(folder, damage, expected, capsys):
    part, out = damage
    shutil.rmtree(part / "it")
    run(folder, out, progress=True)
    same(out, expected)
    assert "carrying on after 0 of 10 files (6 more were not whole)" in capsys.readouterr().err


def test_what_was_whole_is_not_computed_again(folder, damage, expected, monkeypatch):
    part, out = damage
    flipped(part / "v1/activations/c/1/0/0/0/0")  # begun by the second batch
    shown = []
    forward = vs.Network.forward
    monkeypatch.setattr(vs.Network, "forward", lambda *a, **k: (shown.append(len(a[1])), forward(*a, **k))[1])
    run(folder, out)
    assert sum(shown) == 6  # those of the second batch (one is broken), and the four after it
    same(out, expected)


def test_a_journal_cut_anywhere_carries_on(folder, damage, expected):
    part, out = damage
    lines = (part / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    (part / "journal.jsonl").write_bytes(b"".join(lines)[:-20])
    run(folder, out)
    same(out, expected)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_killed_between_the_numbers_and_their_line(folder, tmp_path, expected, monkeypatch, steps):
    add, calls = journal.add, []

    def dying(*arguments):
        calls.append(1)
        if len(calls) == steps:
            raise KeyboardInterrupt
        add(*arguments)

    out = tmp_path / "f.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(journal, "add", dying)
        with pytest.raises(KeyboardInterrupt):
            run(folder, out)
    run(folder, out)
    same(out, expected)


def test_strangers_in_a_half_are_named(folder, damage):
    part, out = damage
    zarr.create_group(part / "v7")
    with pytest.raises(VentralError, match=r"v7' is none of what this extraction writes"):
        run(folder, out)


def test_an_older_half_is_said(folder, tmp_path):
    attributes = {"format": "ventralstream features 1", "images_done": 3}
    zarr.create_group(tmp_path / "f.zarr.part", attributes=attributes)
    with pytest.raises(VentralError, match=r"'ventralstream features 1'.*--no-resume"):
        run(folder, tmp_path / "f.zarr")
    assert run(folder, tmp_path / "f.zarr", resume=False).images == 9


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("file", ["journal.jsonl", "zarr.json", "v1/activations/c/1/0/0/0/0", "v1/stimulus_id/c/0"])
def test_a_damaged_store_is_never_other_numbers(whole, tmp_path, file, how):
    store = Path(shutil.copytree(whole, tmp_path / "f.zarr"))
    how(store / file)
    for use in (
        lambda: open_features(store, "v1").values,
        lambda: features_from_store(store, "v1"),
        lambda: verify(store),
    ):
        with pytest.raises(VentralError, match=r"^[^\n]+$"):
            use()


def test_what_is_missing_is_said_when_a_store_is_opened(whole, tmp_path):
    store = Path(shutil.copytree(whole, tmp_path / "f.zarr"))
    chunk = store / "v1/activations/c/1/0/0/0/0"
    flipped(chunk)
    features = open_features(store, "v1")
    assert np.isfinite(features[:2].values).all()  # what is whole can be read
    with pytest.raises(VentralError, match=r"c/1/0/0/0/0' is damaged"):
        features.values  # noqa: B018
    with pytest.raises(VentralError, match=r"1 of its files are not, e\.g\. .*c/1/0/0/0/0' is damaged"):
        verify(store)
    chunk.unlink()
    with pytest.raises(VentralError, match=r"c/1/0/0/0/0' is missing, so .* not whole"):
        open_features(store, "v1")
    assert np.isfinite(open_features(store, "it").values).all()


def test_a_store_of_another_version_is_said(tmp_path):
    zarr.create_group(tmp_path / "f.zarr", attributes={"format": "ventralstream features 1", "complete": True})
    with pytest.raises(VentralError, match="written by another version"):
        open_features(tmp_path / "f.zarr", "v1")


def test_images_that_changed_are_noticed(folder, damage, tmp_path):
    part, out = damage
    images = Path(shutil.copytree(folder, tmp_path / "images"))
    run(images, out)  # copied elsewhere, they are the same
    for change, message in (
        (lambda: shutil.copy(images / "09.png", images / "10.png"), "there were 10, now there are 11"),
        (lambda: (images / "10.png").rename(images / "09.png"), "some were replaced"),  # of the same size
        (lambda: (images / "02.png").unlink(), "there were 10, now there are 9"),
    ):
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(images)
        shutil.copytree(folder, images)
        half_written(images, out)
        rng = np.random.default_rng(1)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(images / "10.png")
        if "replaced" not in message:
            (images / "10.png").unlink()
        change()
        with pytest.raises(VentralError, match=f"the images have changed since .* was begun: {message}"):
            run(images, out)
        shutil.rmtree(part)


def test_a_full_disk_is_a_sentence_and_carried_on(folder, tmp_path, expected, monkeypatch):
    put, calls = LocalStore.set, []

    async def full(self, key, value):
        calls.append(key)
        if len(calls) > 8:
            raise OSError(28, "No space left on device")
        await put(self, key, value)

    out = tmp_path / "f.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        with pytest.raises(VentralError, match=r"cannot write .*no space left on device; the same request"):
            run(folder, out)
    run(folder, out)
    same(out, expected)


def test_one_process_at_a_time(folder, tmp_path, expected, monkeypatch):
    net, out, refused = tiny(), tmp_path / "f.zarr", []

    def second(*_):
        for resume in (True, False):
            with pytest.raises(VentralError, match="another process is writing") as caught:
                run(folder, out, resume=resume)
            refused.append(caught)

    net.register_forward_pre_hook(second)
    vs.extract(net, folder, RECORDS, out, batch_size=3, progress=False)
    assert len(refused) == 8
    same(out, expected)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_lets_the_batch_be_stored(folder, tmp_path, expected, name, code):
    net, out = tiny(), tmp_path / "f.zarr"
    net.register_forward_pre_hook(lambda *_: signal.raise_signal(getattr(signal, name)))
    with pytest.raises(Interrupted, match="interrupted after 3 of 10 images; the same request will carry on") as caught:
        vs.extract(net, folder, RECORDS, out, batch_size=3, progress=False)
    assert caught.value.code == code and journal.read(tmp_path / "f.zarr.part").done == 3
    run(folder, out)
    same(out, expected)


def test_odd_names_folders_and_links(tmp_path):
    images = pictures(tmp_path / "images", 2)
    (images / "00.png").rename(images / "a\nb '[red].png")
    os.mkfifo(images / "pipe.png")
    (images / "loop").symlink_to(images)
    (images / "back").symlink_to(images / "loop")
    (images / "notes.txt").write_text("text")
    with (images / os.fsdecode(b"\xff.png")).open("wb") as file:
        file.write((images / "01.png").read_bytes())
    (tmp_path / "link.zarr").symlink_to(tmp_path / "elsewhere.zarr")
    for out in (images / "f.zarr", tmp_path / "link.zarr"):  # a store among its images; a link to where there is none
        done = run(images, out)
        assert [s.id for s in done.skipped] == ["pipe.png"] and done.images == 2
        assert open_features(out, "it")["stimulus_id"].values.tolist() == ["01.png", "a\nb '[red].png"]
    assert (tmp_path / "elsewhere.zarr").is_dir()
