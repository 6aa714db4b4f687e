"""Transfer: linear readouts of features, by step; the command for it."""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import ventralstream as vs
from ventralstream import budget, probes
from ventralstream.data import Loader, load_set
from ventralstream.layers.specs import Act, Conv, GlobalPool, Linear, Pool
from ventralstream.models.convrnn import chain
from ventralstream.probes import CS, transfer

SUBSET = {"subset": 200, "test_subset": 60}


def network(channels: int = 1, size: int = 16, width: int = 8) -> vs.Network:
    """Two areas and a readout of their mean over space; the image drives `it` from step 1 of 4 on."""
    areas = (
        vs.Area("v1", (Conv(6), Act("relu")), output=(Pool(),)),
        vs.Area("it", (Conv(width),), vs.cells.SimpleRNN(), (Pool(),)),
        vs.Area("decoder", (GlobalPool(), Linear(10))),
    )
    grey = {"mean": (0.3,), "std": (0.4,)} if channels == 1 else {}
    spec = vs.NetworkSpec("probed", areas, chain(areas), "decoder", (channels, size, size), 4, **grey)
    return vs.build(spec, seed=0)


@pytest.fixture(scope="module")
def scenes() -> probes.Transfer:
    return transfer(network(), "scenes", **SUBSET, batch_size=32)


def test_the_penultimate_features_at_each_step_are_what_is_read(scenes: probes.Transfer) -> None:
    assert [(p.area, p.step, p.time_ms) for p in scenes.probes] == [("it", 1, 10.0), ("it", 2, 20.0), ("it", 3, 30.0)]
    assert (scenes.train, scenes.validation, scenes.test, scenes.reduce) == (160, 40, 60, "mean")
    assert all(p.c in CS and p.accuracy == p.right.mean() and len(p.right) == 60 for p in scenes.probes)
    net = network().eval()
    images = load_set("scenes", subset=20, size=16)
    images = probes.dataclasses.replace(
        images,
        info=images.info.replace(preprocessing=images.info.preprocessing.replace(mean=net.spec.mean, std=net.spec.std)),
    )
    progress = probes.Progress("", 20, "", console=probes.Console(quiet=True))
    asked = probes._asked(net, ["it"], None, None, "mean")
    found = probes._features(net, asked, images, 8, 0, "cpu", progress)["it"]
    (x, _) = next(iter(Loader(images, 20, train=False)))
    with torch.no_grad():
        logits = net(x, readout=vs.PerStep()).logits
        again = net.areas["decoder"].drive_layers.layers[1](torch.from_numpy(found[:-1]))
    torch.testing.assert_close(again.transpose(0, 1), logits[:, -2:])  # the readout of step t + 1 reads them


@pytest.mark.parametrize("standardise", [True, False])
def test_the_fit_is_that_of_scikit_learn(standardise: bool) -> None:
    found = transfer(network(), "scenes", **SUBSET, standardise=standardise, record_steps=[3])
    (probe,) = found.probes
    net = network()
    train, test = (probes._images(net.spec, "scenes", None, s, n) for s, n in (("train", 200), ("val", 60)))
    record = vs.Record("it", 3, "mean")
    with torch.no_grad():
        x, z = (
            net.eval()(s.preprocessing.normalise(s.images), record=record)["it"].values[:, 0].numpy()
            for s in (train, test)
        )
    y, truth = train.labels.numpy(), test.labels.numpy()
    fitted, held = probes._split(y, truth, train.info.classes, "scenes", 0)
    assert (np.bincount(y[held], minlength=10) <= np.ceil(np.bincount(y, minlength=10) * 0.2)).all()
    assert not set(fitted) & set(held) and len({*fitted, *held}) == 200

    def accuracy(c: float, rows: Any, others: Any, labels: Any) -> float:
        a, b = x[rows], others
        if standardise:
            scaler = StandardScaler().fit(a)
            a, b = scaler.transform(a), scaler.transform(b)
        return (LogisticRegression(C=c, tol=1e-6, max_iter=5000).fit(a, y[rows]).predict(b) == labels).mean()

    by_c = [accuracy(c, fitted, x[held], y[held]) for c in CS]
    assert probe.validation == pytest.approx(max(by_c), abs=1.5 / 40)
    assert by_c[CS.index(probe.c)] == pytest.approx(max(by_c), abs=1.5 / 40)
    assert probe.accuracy == pytest.approx(accuracy(probe.c, np.arange(200), z, truth), abs=1.5 / 60)


def test_the_same_twice_and_the_network_as_it_was(scenes: probes.Transfer) -> None:
    net = network().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.random.get_rng_state()
    again = transfer(net, "scenes", **SUBSET, batch_size=7)
    assert [(p.c, p.validation, p.accuracy) for p in again.probes] == [
        (p.c, p.validation, p.accuracy) for p in scenes.probes
    ]
    assert net.training and all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    other = transfer(net, "scenes", **SUBSET, seed=1)
    assert [p.validation for p in other.probes] != [p.validation for p in scenes.probes]


def test_the_range_of_c_is_the_published_one() -> None:
    assert len(CS) == 10 and (CS[0], CS[-1]) == (0.0005, 0.05)
    ratios = np.diff(np.log(CS))
    np.testing.assert_allclose(ratios, ratios[0], rtol=0.01)


def test_features_that_do_not_change_are_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []
    fit = probes._probe
    monkeypatch.setattr(probes, "_probe", lambda *a: fits.append(a) or fit(*a))
    net = vs.create_model("ff_shallow_cifar", input_shape=(1, 16, 16), mean=(0.5,), std=(0.5,), seed=0)
    found = transfer(net, "scenes", **SUBSET, steps=8)
    assert len(found.probes) > 2 and len(fits) == 1
    assert len({p.accuracy for p in found.probes}) == 1 and len({p.step for p in found.probes}) == len(found.probes)


def test_what_did_not_converge_is_one_sentence(monkeypatch: pytest.MonkeyPatch, scenes: probes.Transfer) -> None:
    assert not any("converged" in note for note in scenes.notes)
    monkeypatch.setattr(probes, "MOST_ITERATIONS", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = transfer(network(), "scenes", **SUBSET)
    (note,) = (n for n in found.notes if "converged" in n)
    assert "of 33 fits stopped after 2 iterations before they had converged, the first of them of it at step" in note


def cifar100(root: Path, each: int = 5, tests: int = 1) -> Path:
    """A small CIFAR-100 in the official layout: the colour tells the class, roughly."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    colours = np.random.default_rng(0).integers(0, 256, (100, 3, 1))
    for name, count in (("train", each), ("test", tests)):
        rng = np.random.default_rng(count)
        labels = np.repeat(np.arange(100), count)
        rng.shuffle(labels)
        pixels = np.clip(colours[labels] + rng.normal(0, 20, (len(labels), 3, 1024)), 0, 255).astype(np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": pixels.reshape(-1, 3072), "fine_labels": labels.tolist()}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class{i}" for i in range(100)]}))
    return root


@pytest.fixture
def small_cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from torchvision.datasets import CIFAR100

    monkeypatch.setattr(CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": None})
    return cifar100(tmp_path / "data")


def test_cifar_100_is_brought_to_the_networks_size(small_cifar100: Path) -> None:
    net = network(3, 64, 16)
    found = transfer(net, "cifar100", small_cifar100, areas=["v1", "it"], record_steps=[3], reduce="max")
    assert (found.train, found.validation, found.test, len(found.classes)) == (400, 100, 100, 100)
    assert [(p.area, p.step) for p in found.probes] == [("v1", 3), ("it", 3)]
    assert found.probes[0].accuracy > 0.05, "five times chance: colours are easy"


def test_the_command(small_cifar100: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from ventralstream.cli import main

    vs.save_network(network(3, 32), tmp_path / "W")

    def ventral(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ventral", "transfer", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        return stop.value.code or 0, shown.out, shown.err

    files = "--out", tmp_path / "scores.json", "--figure", tmp_path / "steps.svg"
    code, shown, said = ventral(tmp_path / "W", "--root", small_cifar100, "--record-steps", "2-3", *files)
    assert code == 0, said
    assert "cifar100, 100 classes: fitted on 500 images (C chosen on 100 of them), tested on 100" in shown
    assert "chance is 1.0%" in shown and "showing cifar100 to probed: 600/600 images" in said
    told = json.loads((tmp_path / "scores.json").read_text())["models"]
    assert [p["step"] for p in told[0]["probes"]] == [2, 3] and told[0]["weights"] == str(tmp_path / "W")
    assert told[0]["c_tried"][0] == 0.0005 and told[0]["images"] == {"train": 400, "validation": 100, "test": 100}
    assert (tmp_path / "steps.svg").read_text().startswith("<?xml")
    for wrong, expected in (
        (["--areas", "itt"], "did you mean 'it'"),
        (["--record-steps", "0"], "drives area 'it' from step 1 on"),
        (["--record-steps", "9"], "step 9, which does not exist"),
        (["--reduce", "median"], "unknown reduce 'median'"),
        (["--subset", "300"], "needs two classes and 5 training images of each"),
        (["--data", "cifar1000"], "did you mean 'cifar100'"),
        (
            ["--data", "scenes", "--subset", "9", "--test-subset", "9"],
            "takes images of 3 channels, those of 'scenes' have 1",
        ),
        (["--split-seed", "-1"], "--split-seed is -1"),
        (["--figure", "a.txt"], "txt"),
    ):
        code, _, said = ventral(tmp_path / "W", "--root", small_cifar100, *wrong)
        assert code == 2 and expected in said and said.count("error") == 1, (wrong, said)


def test_what_was_computed_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from ventralstream.cli import main

    nets = {"good": network(), "deaf": network(), "other": network()}
    torch.nn.init.constant_(nets["deaf"].areas["v1"].drive_layers.layers[0].conv.weight, 1e38)
    for name, net in nets.items():
        vs.save_network(net, tmp_path / name)
    vs.save_network(network(), tmp_path / "more" / "good")

    def ventral(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ventral", "transfer", *map(str, args), "--data", "scenes"])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        return stop.value.code or 0, shown.out, shown.err

    small = "--subset", 100, "--test-subset", 20, "--record-steps", 3, "--out", tmp_path / "out.json"
    code, shown, said = ventral(tmp_path / "good", tmp_path / "deaf", tmp_path / "other", *small)
    assert code == 2 and "features of area 'it' are not finite" in said and "good" in shown
    assert [m["model"] for m in json.loads((tmp_path / "out.json").read_text())["models"]] == ["good"]
    for wrong, expected in (("more/good", "two models are called 'good'"), ("nowhere", "unknown model")):
        code, shown, said = ventral(tmp_path / "good", tmp_path / wrong, *small)
        assert code == 2 and expected in said and shown == "" and "showing" not in said
    code, shown, said = ventral(tmp_path / "good", "rgc_digits:scenes", *small, "--areas", "it")
    assert code == 2 and "'it'" in said and shown == "" and "showing" not in said


def test_classes_without_training_images() -> None:
    labels = np.repeat([0, 1], 10)
    with pytest.raises(vs.VentralError, match="5 training images of each; 'c' has 0"):
        probes._split(labels, np.array([0, 2]), ["a", "b", "c"], "set", 0)
    fitted, held = probes._split(labels, np.array([0, 1]), ["a", "b", "c"], "set", 0)
    assert (len(fitted), len(held)) == (16, 4)


def test_what_cannot_be_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    with monkeypatch.context() as patch:
        patch.setattr(budget, "MEMORY", 1000)
        with pytest.raises(vs.VentralError, match=r"the features of 260 images would take .* GB"):
            transfer(net, "scenes", **SUBSET)
    with pytest.raises(vs.VentralError, match="16 x 24 pixels"):
        transfer(vs.build(net.spec.replace(input_shape=(1, 16, 24))), "scenes", **SUBSET)
    only = vs.NetworkSpec(
        "only",
        (vs.Area("out", (GlobalPool(), Linear(3))),),
        (vs.Connection("image", "out", delay=0),),
        "out",
        (1, 16, 16),
        2,
        mean=(0.5,),
        std=(0.5,),
    )
    with pytest.raises(vs.VentralError, match="the readout of 'only' reads no other area"):
        transfer(vs.build(only), "scenes", **SUBSET)
    torch.nn.init.constant_(net.areas["v1"].drive_layers.layers[0].conv.weight, torch.inf)
    with pytest.raises(vs.VentralError, match="features of area 'it' are not finite"):
        transfer(net, "scenes", **SUBSET)


def test_a_folder_of_images(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 4)):
        for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(rng.normal(colour, 30, (20, 24, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    found = transfer(network(3, 16), "folder", tmp_path, record_steps=[3], workers=0)
    assert found.classes == ("blue", "red") and found.test == 8 and found.probes[0].accuracy == 1
    assert transfer(network(1, 16), "folder", tmp_path, record_steps=[3], workers=0).test == 8  # read as grey ones
