"""Signals at any moment: what was done is saved, and the run goes on as if nothing had happened."""

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

from ventralstream.errors import Interrupted
from ventralstream.evaluation import StepCounts
from ventralstream.interrupt import Interruption
from ventralstream.layers.specs import GlobalPool, Linear
from ventralstream.training import Place, Recipe
from ventralstream.training.folder import open_run
from ventralstream.training.run import resume, train

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def ctrl_c_counts():
    """A process begun in the background of a shell ignores Ctrl-C, and so would the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def place():
    """No checkpoint but where one is made for a reason."""
    return Place(threads=1, workers=0, checkpoint_every=3600.0)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder set of two classes, 20 images to train and 8 to validate on."""
    root, rng = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 4)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


def assert_same(a: Path, b: Path, weights):
    for name, value in weights(a).items():
        assert torch.equal(value, weights(b)[name]), name
    assert (a / "metrics.csv").read_text() == (b / "metrics.csv").read_text()


def signals(at: int, signum: int, times: int = 1):
    def send(done: int) -> None:
        if done == at:
            for _ in range(times):
                os.kill(os.getpid(), signum)

    return send


@pytest.mark.parametrize("after", [1, 6, 7, 12])
@pytest.mark.parametrize("signum", SIGNALS[:2])
def test_after_any_batch(tmp_path, spec, recipe, place, weights, after, signum):
    train(spec, recipe, tmp_path / "whole", place=place)
    out = tmp_path / "run"
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted) as stopped:
        train(spec, recipe, out, place=place, after_batch=signals(after, signum, times=2))
    assert stopped.value.code == 128 + signum and isinstance(stopped.value, KeyboardInterrupt)
    assert f"carry on with: ventral train --resume {out}" in str(stopped.value)
    assert open_run(out).position == ((after - 1) // 6, (after - 1) % 6 + 1), "the step is finished and saved"
    assert signal.getsignal(signum) == before
    resume(out)
    assert_same(out, tmp_path / "whole", weights)


@pytest.mark.parametrize("epoch", [1, 2])
def test_in_the_validation(tmp_path, spec, recipe, place, weights, monkeypatch, epoch):
    train(spec, recipe, tmp_path / "whole", place=place)
    out, calls, add = tmp_path / "run", [], StepCounts.add

    def interrupted(self, *args):
        calls.append(1)
        if len(calls) == 3 * epoch - 1:  # the second of an epoch's three
            os.kill(os.getpid(), signal.SIGTERM)
        return add(self, *args)

    monkeypatch.setattr(StepCounts, "add", interrupted)
    with pytest.raises(Interrupted, match=f"after batch 6 of epoch {epoch}"):
        train(spec, recipe, out, place=place)
    assert len(calls) == 3 * epoch - 1, "what is left of the validation is not waited for"
    resume(out)
    assert_same(out, tmp_path / "whole", weights)


def test_before_the_first_batch_and_after_the_last_checkpoint(tmp_path, spec, recipe, place, weights, monkeypatch):
    train(spec, recipe, tmp_path / "whole", place=place)
    out, enter = tmp_path / "run", Interruption.__enter__

    def at_once(self):
        enter(self)
        os.kill(os.getpid(), signal.SIGINT)
        return self

    monkeypatch.setattr(Interruption, "__enter__", at_once)
    with pytest.raises(Interrupted, match="before the first batch; carry on with"):
        train(spec, recipe, out, place=place)
    monkeypatch.undo()
    resume(out)
    assert_same(out, tmp_path / "whole", weights)


def test_while_images_are_listed_nothing_was_begun(tmp_path, spec, recipe, place, monkeypatch):
    def load(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    monkeypatch.setattr("ventralstream.training.split.load_set", load)
    with pytest.raises(Interrupted, match="interrupted before training began; begin again with the same command"):
        train(spec, recipe, tmp_path / "run", place=place)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_with_processes_that_read_images(tmp_path, spec, place, weights, pictures, workers):
    """The signal goes to all of them, as from a terminal or a cluster."""
    place = place.replace(root=str(pictures), workers=workers)
    recipe = Recipe(data="folder", size=16, epochs=2, batch_size=4)
    areas = (spec.area("v1"), spec.area("it"), spec.area("decoder").replace(drive=(GlobalPool(), Linear(2))))
    spec = spec.replace(areas=areas)
    train(spec, recipe, tmp_path / "whole", place=place)
    out = tmp_path / "run"

    def send(done: int) -> None:
        if done == 3:
            children = Path(f"/proc/self/task/{os.getpid()}/children")
            pids = children.read_text().split() if children.exists() else []
            assert len(pids) >= workers or not children.exists()
            for pid in [*map(int, pids), os.getpid()]:
                os.kill(pid, signal.SIGTERM)

    with pytest.raises(Interrupted, match="after batch 3 of epoch 1"):
        train(spec, recipe, out, place=place, after_batch=send)
    resume(out)
    assert_same(out, tmp_path / "whole", weights)


LOADER = """
import sys, time
from ventralstream.data import Loader, load_set
batches = iter(Loader(load_set("folder", sys.argv[1], size=16), 2, train=True, workers=2))
next(batches)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_processes_that_read_images_end_with_theirs(pictures):
    """However that ended: after SIGKILL it cannot tell them."""
    parent = subprocess.Popen([sys.executable, "-c", LOADER, str(pictures)], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout.readline() == "ready\n"
        workers = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert len(workers) == 2
    finally:
        parent.kill()
        parent.wait()
    until = time.monotonic() + 20
    while alive := [pid for pid in workers if _is_alive(pid)]:
        assert time.monotonic() < until, f"processes {alive} live on"
        time.sleep(0.1)


def _is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
