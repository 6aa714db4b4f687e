"""Weights in the box: what is in it loads offline and is as good as its provenance says; how they get into it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ventralstream as vs
from ventralstream.checkpoints import box
from ventralstream.checkpoints.disk import load_spec, read_provenance
from ventralstream.cost import training_flops
from ventralstream.data import Loader, load_set
from ventralstream.data_root import VARIABLE
from ventralstream.evaluation import accuracy_per_step
from ventralstream.training import Place, Recipe

SCRIPT = Path(__file__).parents[2] / "scripts" / "box.py"
KEYS = {
    *("model", "tag", "source", "licence", "data", "class_names", "recipe", "seed", "command", "commit", "trained"),
    *("pflop", "parameters", "stored_as", "files", "accuracy", "accuracy_as_trained", "accuracy_of_subset", "measured"),
}


@pytest.fixture(scope="module")
def script() -> Any:
    """The script as a module."""
    found = importlib.util.spec_from_file_location("script_box", SCRIPT)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def check_boxed(folder: Path, script: Any) -> dict[str, Any]:
    """What holds of all weights in the box; gives their provenance."""
    name, tag = folder.parent.name, folder.name
    known = read_provenance(folder / "provenance.json")
    assert set(known) >= KEYS and not [key for key in KEYS if known[key] in (None, "", [], {})]
    assert (known["model"], known["tag"], known["licence"]) == (name, tag, "MIT")
    assert sum(f.stat().st_size for f in folder.iterdir()) <= script.MOST_BYTES + 100_000
    assert (folder / "model.safetensors").stat().st_size <= script.MOST_BYTES
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder).returncode == 0
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines()[1:])
    assert sums == known["files"]
    script.check_architecture(load_spec(folder), name)
    accuracy = known["accuracy"]
    assert {float(v) for v in accuracy["by_readout"].values()} and 0 <= accuracy["decision"] <= 1
    assert script.difference(accuracy, known["accuracy_as_trained"]) <= script.EQUAL
    assert "/" not in known["command"], "no folder of anyone's machine"
    return known


def check_accuracy(name: str, tag: str, known: dict[str, Any], root: str | None) -> None:
    """The accuracy on the subset, measured again."""
    net, expected = vs.create_model(name, weights=tag), known["accuracy_of_subset"]
    assert not net.training and all(p.dtype == torch.float32 for p in net.parameters())
    images = load_set(known["data"], root, "val", subset=expected["images"], size=net.spec.input_shape[1])
    found = accuracy_per_step(net, Loader(images, 250, train=False))
    assert found.decision == pytest.approx(expected["decision"], abs=0.001)
    for step, accuracy in zip(found.steps, found.accuracy, strict=True):
        assert accuracy == pytest.approx(expected["by_step"][str(step)], abs=0.001), step


@pytest.mark.parametrize("folder", box.boxed(), ids=lambda f: f"{f.parent.name}:{f.name}")
def test_what_is_in_the_box(folder: Path, script: Any) -> None:
    import os

    known = check_boxed(folder, script)
    name, tag = folder.parent.name, folder.name
    assert f"{name}:{tag}" in vs.list_weights()
    root = os.environ.get(VARIABLE)
    if root is None or not (Path(root) / "cifar-10-batches-py").is_dir():
        pytest.skip(f"{VARIABLE} names no folder with CIFAR-10, so the accuracy is not measured again")
    check_accuracy(name, tag, known, root)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run that is complete."""
    folder = tmp_path_factory.mktemp("run") / "RUN"
    recipe = Recipe(data="scenes", size=16, subset=48, val_subset=16, epochs=1, batch_size=16)
    vs.train("ff_shallow_cifar", recipe, folder, place=Place(threads=1))
    return folder


@pytest.fixture
def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another box, which is empty."""
    monkeypatch.setattr(box, "FOLDER", tmp_path / "box")
    return tmp_path / "box"


def test_a_run_gets_into_the_box_with_one_command(run: Path, boxes: Path, script: Any, monkeypatch, capsys) -> None:
    monkeypatch.setattr(script, "SUBSET", 64)
    scenes = script.load_set
    monkeypatch.setattr(script, "load_set", lambda *a, **k: scenes(*a, **k | {"subset": k.get("subset") or 128}))
    folder = script.main([str(run), "ff_shallow_cifar", "digits"])
    assert folder == boxes / "ff_shallow_cifar" / "digits" and "ff_shallow_cifar:digits: 0." in capsys.readouterr().out
    record = json.loads((run / "run.json").read_text())
    known = check_boxed(folder, script) if record["sessions"][-1]["git_commit"] else read_provenance(folder)
    assert known["stored_as"] == "float16" and known["accuracy"]["images"] == 128
    assert {t.dtype for t in load_file(folder / "model.safetensors").values()} == {torch.float16}
    check_accuracy("ff_shallow_cifar", "digits", known, None)
    assert known["pflop"] == pytest.approx(48 * training_flops(load_spec(folder)) / 1e15)

    # and is found by name, wherever one is taken
    assert vs.list_weights("ff_shallow_cifar") == ["ff_shallow_cifar:digits"]
    net, trained = vs.create_model("ff_shallow_cifar:digits"), vs.load_network(run)
    x = torch.randn(2, 1, 16, 16)
    assert torch.allclose(net(x).output, trained(x).output, atol=0.01)
    for wrong, told in (
        (lambda: vs.create_model("ff_shallow_cifar", weights="digit"), "did you mean 'digits'"),
        (
            lambda: vs.create_model("ff_shallow_cifar:cifar100"),
            "unknown weights 'cifar100' of model 'ff_shallow_cifar'",
        ),
        (lambda: vs.create_model("ff_shallow", weights="digits"), "of which there are none by name"),
        (lambda: vs.create_model("ff_shallow_cifar:digits", weights="digits"), "names its weights already"),
        (lambda: vs.create_model("ff_shallow_cifar:"), "names no weights after ':'"),
        (lambda: vs.create_model("ff_shallow_cifar:digits", width=2.0), "'width' cannot be changed on saved weights"),
    ):
        with pytest.raises(vs.VentralError, match=told):
            wrong()


@pytest.fixture
def digits(run: Path, boxes: Path) -> str:
    vs.save_network(
        vs.load_network(run),
        boxes / "ff_shallow_cifar" / "digits",
        {
            "data": "scenes",
            "accuracy": {"decision": 0.125},
            "licence": "MIT",
            "class_names": list("0123456789"),
        },
    )
    return "ff_shallow_cifar:digits"


def test_the_command_line_takes_weights_by_name(digits: str, tmp_path: Path, monkeypatch, capsys) -> None:
    from ventralstream.cli import main

    def ventral(*args: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ventral", *args])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        assert not stop.value.code, shown.err
        return shown.out + shown.err

    row = json.loads(ventral("list", "--weights", "--json"))
    assert next(r for r in row if r["weights"] == digits)["accuracy"] == 0.125
    assert next(r for r in row if r["weights"] == "cornet_s:published")["licence"] == "GPL-3.0"
    told = ventral("list", "ff_shallow_cifar", "--weights")
    assert digits in told and "12.5%" in told and "in the package" in told
    assert "ff_shallow_cifar" in ventral("show", digits)
    assert "16 images of scenes" in ventral("evaluate", digits, "--data", "scenes", "--subset", "16")
    train = ("--data", "scenes", "--size", "16", "--subset", "32", "--val-subset", "16", "--batch-size", "16")
    ventral("train", digits, *train, "--epochs", "1", "--lr", "1e-9", "--out", str(tmp_path / "R"))
    before, after = vs.create_model(digits), vs.load_network(tmp_path / "R")
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(old, new, atol=1e-4, rtol=1e-2)  # it went on from these weights


def test_what_is_not_boxed(run: Path, boxes: Path, script: Any, tmp_path: Path, monkeypatch) -> None:
    for arguments, told in (
        ([str(tmp_path), "ff_shallow_cifar", "x"], "is not a training run"),
        ([str(run), "ff_shalow_cifar", "x"], "did you mean 'ff_shallow_cifar'"),
        ([str(run), "rgc_shallow_cifar", "x"], "is not 'rgc_shallow_cifar' as registered: other name"),
    ):
        with pytest.raises(vs.VentralError, match=told):
            script.main(arguments)
    monkeypatch.setattr(script, "MOST_BYTES", 1000)
    scenes = script.load_set
    monkeypatch.setattr(script, "load_set", lambda *a, **k: scenes(*a, **k | {"subset": k.get("subset") or 16}))
    with pytest.raises(vs.VentralError, match="at most 1,000 may be boxed"):
        script.main([str(run), "ff_shallow_cifar", "x"])
    assert not boxes.exists()


def test_sixteen_bits_only_where_they_are_as_good(script: Any) -> None:
    one = {"decision": 0.9, "by_step": {"5": 0.8, "6": 0.9}, "by_readout": {"last": 0.9}}
    assert script.difference(one, one | {"by_step": {"5": 0.8, "6": 0.898}}) == pytest.approx(0.002)
    assert script.difference(one, one | {"by_readout": {"last": 0.9005}}) == pytest.approx(0.0005)


def test_a_command_without_the_places_of_its_files(script: Any) -> None:
    command = [
        "/bin/ventral",
        "train",
        "net",
        "--recipe",
        "/a/b.yaml",
        "--root",
        "/data",
        "--out=/x/run",
        "--epochs",
        "3",
    ]
    expected = ["ventral", "train", "net", "--recipe", "b.yaml", "--root", "DIR", "--out=RUN", "--epochs", "3"]
    assert script.public(command) == expected
