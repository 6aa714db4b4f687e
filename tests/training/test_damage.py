"""Whatever happens to a run's folder, it goes on exactly, saying what was damaged, or stops in one sentence."""

import io
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console

import ventralstream as vs
from ventralstream.errors import VentralError
from ventralstream.training import Place, Recipe
from ventralstream.training.checkpoint import read_checkpoint, write_checkpoint
from ventralstream.training.folder import open_run
from ventralstream.training.run import resume, train

NEWEST = "checkpoints/epoch_001_batch_000001"
BEFORE = "checkpoints/epoch_001_batch_000000"
FIRST = "checkpoints/epoch_000_batch_000000"
BESIDE = ["recipe.json", "config.json", "run.json", "metrics.csv"]
INSIDE = [f"{NEWEST}/{name}" for name in ("tensors.safetensors", "state.json", "SHA256SUMS")]


class PowerCut(BaseException):
    pass


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A whole run of two epochs of two batches, and one that was cut off after the third batch."""
    from small_network import small_network

    root = tmp_path_factory.mktemp("runs")
    recipe = Recipe(data="scenes", size=16, subset=8, val_subset=4, epochs=2, batch_size=4)
    place = Place(threads=1, workers=0, checkpoint_every=0.0)

    def cut_off(done):
        if done == 4:
            raise PowerCut

    train(small_network(), recipe, root / "whole", place=place)
    with pytest.raises(PowerCut):
        train(small_network(), recipe, root / "cut", place=place, after_batch=cut_off)
    assert sorted(p.name for p in (root / "cut" / "checkpoints").iterdir()) == [
        Path(name).name for name in (FIRST, BEFORE, NEWEST)
    ]
    return root


@pytest.fixture
def cut(runs, tmp_path):
    return Path(shutil.copytree(runs / "cut", tmp_path / "run"))


def go_on(run: Path) -> str:
    """What is said on the way."""
    text = io.StringIO()
    resume(run, console=Console(file=text, width=1000))
    return "\n".join(line for line in text.getvalue().splitlines() if not line.startswith(("epoch ", "training: ")))


def assert_whole(run: Path, runs: Path) -> None:
    assert_same_weights(run, runs)
    assert (run / "metrics.csv").read_text() == (runs / "whole" / "metrics.csv").read_text()
    assert open_run(run).complete and open_run(run).recipe == open_run(runs / "whole").recipe
    assert (run / "config.json").read_text() == (runs / "whole" / "config.json").read_text()


def assert_same_weights(run: Path, runs: Path) -> None:
    expected = vs.load_network(runs / "whole").state_dict()
    for name, value in vs.load_network(run).state_dict().items():
        assert torch.equal(value, expected[name]), name


def without(path):
    path.unlink()


def folder(path):
    path.unlink()
    path.mkdir()


def loop(path):
    path.unlink()
    path.symlink_to(path.name)


def written(content):
    return lambda path: path.write_bytes(content)


def cut_at(part):
    return lambda path: path.write_bytes(path.read_bytes()[: int(len(path.read_bytes()) * part)])


def flip_at(part):
    def flip(path):
        data = bytearray(path.read_bytes())
        data[min(int(len(data) * part), len(data) - 1)] ^= 4
        path.write_bytes(data)

    return flip


def with_keys(path):
    try:
        data = json.loads(path.read_text())
    except ValueError:
        data = {}
    path.write_text(json.dumps(data | {"more": 1}))


DAMAGES = {
    "missing": without,
    "empty": written(b""),
    "a list": written(b"[1, 2]"),
    "a number": written(b"7"),
    "null": written(b"null"),
    "deep": written(b"[" * 100_000),
    "binary": written(bytes(range(256))),
    "more keys": with_keys,
    "a folder": folder,
    "a loop": loop,
    "cut at 1 %": cut_at(0.01),
    "cut in the middle": cut_at(0.5),
    "cut at the end": cut_at(0.98),
    "a bit at the beginning": flip_at(0.0),
    "a bit at a third": flip_at(0.3),
    "a bit at two thirds": flip_at(0.66),
    "a bit at the end": flip_at(1.0),
}


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_lies_beside_the_checkpoints_is_restored(cut, runs, name, damage):
    DAMAGES[damage](cut / name)
    changed = name == "run.json" or _content(cut / name) != _content(runs / "cut" / name)
    try:
        said = go_on(cut)
    except VentralError as error:
        assert damage == "a folder" and "\n" not in str(error)
        return
    assert_whole(cut, runs)
    # What else there is in run.json, or what earlier sessions noted there, nothing depends on.
    harmless = name == "run.json" and (damage == "more keys" or "a bit" in damage)
    assert not changed or harmless or f"{name}' was damaged" in said


def _content(path):
    try:
        data = path.read_bytes()
        return json.loads(data) if path.suffix == ".json" else data
    except (OSError, ValueError, RecursionError):
        return None


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_newest_whole_checkpoint_is_used_and_named(cut, runs, name, damage):
    DAMAGES[damage](cut / name)
    said = go_on(cut)
    assert_whole(cut, runs)
    assert said.count("\n") == 0 and f"{NEWEST}' is damaged: " in said
    assert said.endswith(f"carrying on from '{Path(BEFORE).name}'")


def without_last(tensors):
    return dict(list(tensors.items())[:-1])


def of_other_parameters(state):
    state["state"][0] = {"momentum_buffer": torch.zeros(2, 5)}
    return state


FOREIGN = {
    "seen": (lambda counted: counted[0], r"of the shape \[3\]; expected \[processes, 3\]"),
    "network": (without_last, "its weights are not those of its network: .* Missing key"),
    "metrics": (lambda rows: "step,loss\n1,0.5\n", "other columns"),
    "optimizer": (of_other_parameters, r"'momentum_buffer' is of another shape: \[2, 5\]"),
    "flops": (None, "unexpected keyword argument 'flops_'"),
}


@pytest.mark.parametrize("part", FOREIGN)
def test_a_whole_checkpoint_that_another_version_wrote_is_not_used(cut, runs, part):
    change, message = FOREIGN[part]

    def foreign(name):
        content = read_checkpoint(cut / name)
        changed = {"flops_": content["flops"]} if change is None else {part: change(content[part])}
        write_checkpoint(cut / name, content | changed)

    foreign(NEWEST)
    said = go_on(cut)
    assert_whole(cut, runs)
    assert said.count("\n") == 0 and re.search(f"'{cut / NEWEST}' cannot be used: .*{message}", said)


@pytest.mark.parametrize("damage", ["missing", "empty", "a bit at two thirds"])
def test_with_both_damaged_it_begins_with_its_first_weights(cut, runs, damage):
    for checkpoint in (NEWEST, BEFORE):
        DAMAGES[damage](cut / checkpoint / "tensors.safetensors")
    said = go_on(cut)
    assert_whole(cut, runs)
    assert len(said.splitlines()) == 2 and said.endswith(f"carrying on from '{Path(FIRST).name}'")


def test_without_a_whole_checkpoint_it_stops(cut):
    for checkpoint in (NEWEST, BEFORE, FIRST):
        DAMAGES["a bit at a third"](cut / checkpoint / "state.json")
    with pytest.raises(VentralError, match=r"has no whole checkpoint to carry on from: .* begin a new run") as error:
        resume(cut)
    assert "\n" not in str(error.value)
    shutil.rmtree(cut / "checkpoints")
    with pytest.raises(VentralError, match="no whole checkpoint to carry on from: there is none in"):
        resume(cut)


def test_a_checkpoint_of_another_name_is_not_believed(cut, runs):
    shutil.rmtree(cut / NEWEST)
    (cut / BEFORE).rename(cut / NEWEST)
    assert "bears another one's name" in go_on(cut)
    assert_whole(cut, runs)


def test_a_checkpoint_of_another_run_is_not_carried_on(cut, runs):
    content = read_checkpoint(cut / NEWEST)
    content["recipe"]["seed"] = 5
    write_checkpoint(cut / NEWEST, content)
    assert "is of another run than 'epoch_000_batch_000000' beside it; carrying on from 'epoch_001" in go_on(cut)
    assert_whole(cut, runs)


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard", NEWEST])
def test_a_file_in_a_folders_place(cut, runs, name):
    shutil.rmtree(cut / name)
    (cut / name).write_text("?")
    if name == NEWEST:
        go_on(cut)
        assert_whole(cut, runs)
    else:
        with pytest.raises(VentralError) as error:
            resume(cut)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_weights_of_a_run_are_written_again(cut, runs, damage):
    DAMAGES[damage](cut / "model.safetensors")
    try:
        go_on(cut)
    except VentralError as error:
        assert damage == "a folder" and "\n" not in str(error)
    else:
        assert_whole(cut, runs)


@pytest.mark.parametrize("name", [*BESIDE, "model.safetensors"])
def test_a_complete_run_is_restored_too(runs, tmp_path, name):
    run = Path(shutil.copytree(runs / "whole", tmp_path / "run"))
    DAMAGES["cut in the middle"](run / name)
    go_on(run)
    assert_whole(run, runs)
