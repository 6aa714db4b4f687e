"""A full disk, or the end of the process, at any moment of writing."""

import errno
import os
import shutil
from pathlib import Path

import pytest
import torch

import ventralstream as vs
from ventralstream.errors import VentralError
from ventralstream.training import Place, Recipe
from ventralstream.training.folder import open_run
from ventralstream.training.run import resume, train


@pytest.fixture
def recipe():
    return Recipe(data="scenes", size=16, subset=8, val_subset=4, epochs=2, batch_size=4)


@pytest.fixture
def place():
    return Place(threads=1, workers=0, checkpoint_every=0.0)


class Disk:
    """Counts what is written, and from the `full`th writing on says that the disk is full, or ends the process."""

    def __init__(self, monkeypatch, full: int, error: BaseException) -> None:
        self.writes, self.full, self.error = 0, full, error
        write_text, write_bytes, open_file = Path.write_text, Path.write_bytes, Path.open

        def opened(path, *args, **kwargs):
            if args and args[0][0] in "aw":
                self.count()
            return open_file(path, *args, **kwargs)

        def text(path, *args, **kwargs):
            self.count()
            return write_text(path, *args, **kwargs)

        def data(path, content):
            if self.writes + 1 >= self.full:
                write_bytes(path, content[: len(content) // 2])
            self.count()
            return write_bytes(path, content)

        monkeypatch.setattr(Path, "write_text", text)
        monkeypatch.setattr(Path, "write_bytes", data)
        monkeypatch.setattr(Path, "open", opened)

    def count(self) -> None:
        self.writes += 1
        if self.writes >= self.full:
            raise self.error


def carried_on(spec, recipe, place, out):
    """What a user does: the same command again, or --resume."""
    try:
        return resume(out)
    except VentralError as error:
        assert "begin it again" in str(error) or "is not a training run" in str(error)
        return train(spec, recipe, out, place=place)


def assert_same(a: Path, b: Path) -> None:
    expected = vs.load_network(b).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in vs.load_network(a).state_dict().items())
    assert (a / "metrics.csv").read_text() == (b / "metrics.csv").read_text()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), Killed()], ids=["full", "killed"])
def test_whatever_was_being_written_the_run_can_be_carried_on(tmp_path, monkeypatch, spec, recipe, place, error):
    train(spec, recipe, tmp_path / "whole", place=place)
    full, stopped = 1, True
    while stopped:
        out = tmp_path / f"run{full}"
        with monkeypatch.context() as patch:
            Disk(patch, full, error)
            try:
                train(spec, recipe, out, place=place)
                stopped = False
            except (VentralError, Killed) as found:
                if isinstance(found, VentralError):
                    assert "No space left on device" in str(found) or "no space left" in str(found).lower()
                    assert "\n" not in str(found)
        carried_on(spec, recipe, place, out)
        assert open_run(out).complete and open_run(out).place == place
        assert_same(out, tmp_path / "whole")
        assert not list(out.rglob("*.part"))
        shutil.rmtree(out)
        full += 1 if full < 12 else 5
    assert full > 20, "it was stopped at many moments"


def test_a_folder_of_something_else_is_not_taken_for_what_a_run_left(tmp_path, spec, recipe, place):
    saved = tmp_path / "saved"
    vs.save_network(vs.Network(spec), saved)
    weights = (saved / "model.safetensors").read_bytes()
    train(spec, recipe, tmp_path / "run", place=place)
    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(tmp_path / "run" / name)
    (tmp_path / "run" / "metrics.csv").unlink()  # as one does to save space
    (tmp_path / "file").write_text("?")
    (tmp_path / "loop").symlink_to("loop")
    for taken in ("saved", "run", "file", "loop"):
        with pytest.raises(VentralError, match="exists and is not an empty folder"):
            train(spec, recipe, tmp_path / taken, place=place)
    assert (saved / "model.safetensors").read_bytes() == weights


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX systems do")
def test_a_real_limit_on_files(tmp_path, spec, recipe, place):
    import resource

    out = tmp_path / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(VentralError) as error:
            train(spec, recipe, out, place=place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    carried_on(spec, recipe, place, out)
    assert open_run(out).complete
