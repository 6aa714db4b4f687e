"""Puts a training run's weights in the box, as package data: python scripts/box.py RUN NAME TAG [--root DIR]

They are stored in 16 bits if no accuracy on the test images (of any step or readout) differs by more than 0.1 % from
that of the run's own weights, else in 32. What is stored is measured by itself, for its provenance.json: accuracy by
step and by readout on all test images and on the subset that the tests use, and the training's PFLOP.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ventralstream.checkpoints import box, load_network, save_network
from ventralstream.checkpoints.disk import SPEC_FILE, TENSOR_FILE
from ventralstream.data import Loader, load_set
from ventralstream.errors import VentralError, unknown
from ventralstream.evaluation import evaluating
from ventralstream.models import list_models, model_spec
from ventralstream.models.classes import count_classes
from ventralstream.network import Network
from ventralstream.progress import Progress
from ventralstream.published.load import sha256_of
from ventralstream.readout import Last, MaxConfidence, Mean, PerStep, Threshold
from ventralstream.spec import NetworkSpec
from ventralstream.training.folder import RUN, RunFolder, open_run
from ventralstream.training.metrics import read_rows
from ventralstream.training.provenance import provenance

MOST_BYTES = 4_000_000  # of one network
EQUAL = 0.001  # accuracies that differ by no more are equal
SUBSET = 1000  # test images that the tests measure again
READOUTS = (Last(), Mean(), MaxConfidence(), Threshold())


def main(arguments: list[str]) -> Path:
    """Boxes a run; gives the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a complete training run")
    parser.add_argument("name", help="the registered model that it trained")
    parser.add_argument("tag", help="what its weights are called, as in NAME:TAG")
    parser.add_argument("--root", type=Path, help="where the image set lies; the run's own place by default")
    given = parser.parse_args(arguments)
    run = open_run(given.run)
    if not run.complete:
        raise VentralError(f"'{given.run}' is not complete: ventral train --resume {given.run}")
    network = load_network(given.run)
    check_architecture(network.spec, given.name)
    root = given.root or run.place.root
    tests, some = (held_out(run, root, subset) for subset in (None, min(SUBSET, len(held_out(run, root, None)))))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        as_trained: dict[str, Any] = {}
        for kind in ("float16", "float32"):
            save_network(copy.deepcopy(network).to(getattr(torch, kind)), folder)
            if (size := (folder / TENSOR_FILE).stat().st_size) > MOST_BYTES:
                raise VentralError(f"the weights have {size:,} bytes in {kind}; at most {MOST_BYTES:,} may be boxed")
            as_trained = as_trained or measure(network, tests, "as trained")
            accuracy = measure(load_network(folder), tests, f"in {kind}")
            if difference(as_trained, accuracy) <= EQUAL:
                break
        known = {
            "model": given.name,
            "tag": given.tag,
            "source": "trained by the developers of ventralstream",
            "licence": "MIT",
            "data": run.data.name,
            "class_names": run.data.classes,
            "recipe": run.recipe.to_json(),
            "seed": run.recipe.seed,
            **sessions(run),
            "pflop": float(read_rows(run.metrics)[-1]["pflop"]),
            "parameters": sum(p.numel() for p in network.parameters()),
            "stored_as": kind,
            "files": {file: sha256_of(folder / file) for file in (SPEC_FILE, TENSOR_FILE)},
            "accuracy": accuracy,
            "accuracy_as_trained": as_trained,
            "accuracy_of_subset": measure(load_network(folder), some, "on the subset"),
            "measured": {
                k: v for k, v in provenance().items() if k in ("time", "ventralstream", "packages", "machine")
            },
        }
        boxed = box.FOLDER / given.name / given.tag
        save_network(load_network(folder).to(getattr(torch, kind)), boxed, known)
    stored = {file: sha256_of(boxed / file) for file in known["files"]}
    assert stored == known["files"], "what was measured is what is in the box"
    told = ", ".join(f"{k} {v:.2%}" for k, v in accuracy["by_readout"].items())
    print(f"{given.name}:{given.tag}: {size / 1e6:.2f} MB in {kind}, {known['pflop']:.3g} PFLOP, {told}; in {boxed}")
    print("docs/models/ follows with: python scripts/model_cards.py")
    return boxed


def check_architecture(spec: NetworkSpec, name: str) -> None:
    """Raises VentralError if a run's network is not the registered model, for its classes and images."""
    if name not in list_models():
        raise unknown("model", name, list_models())
    registered = model_spec(name, num_classes=count_classes(spec))
    parts = ("name", "areas", "connections", "readout_area", "before_start", "dt_ms")
    if different := [part for part in parts if getattr(spec, part) != getattr(registered, part)]:
        raise VentralError(
            f"the run's network '{spec.name}' is not '{name}' as registered: other {', '.join(different)}"
        )


def held_out(run: RunFolder, root: str | Path | None, subset: int | None) -> Any:
    """The images held out of training, preprocessed as in training."""
    name = run.data.name
    size = None if name.startswith("cifar") else run.data.preprocessing.size
    return load_set(name, None if name == "scenes" else root, "val", size=size, subset=subset)


@torch.no_grad()
def measure(network: Network, images: Any, what: str) -> dict[str, Any]:
    """The accuracy at each step that the image drives, and of each readout."""
    right: dict[str, int] = {}
    own, stop, steps = network.spec.readout, network.spec.steps, ()
    with evaluating(network), Progress(f"measuring {what}", len(images), "images") as progress:
        for batch, labels in Loader(images, 250, train=False):
            out = network(batch, readout=PerStep())
            steps = out.steps
            answers = {str(t): out.logits[:, i] for i, t in enumerate(steps)}
            for readout in (own, *READOUTS):
                wanted = readout.steps(steps[0], stop)
                of_them = out.logits[:, [i for i, t in enumerate(steps) if t in wanted]]
                answers["decision" if readout is own else readout.tag] = readout.decide(of_them)
            for key, logits in answers.items():
                right[key] = right.get(key, 0) + int((logits.argmax(-1) == labels).sum())
            progress.update(progress.done + len(labels))
    shares = {key: count / len(images) for key, count in right.items()}
    return {
        "images": len(images),
        "readout": own.tag,
        "decision": shares["decision"],
        "by_step": {str(t): shares[str(t)] for t in steps},
        "by_readout": {readout.tag: shares[readout.tag] for readout in READOUTS},
    }


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """The largest between two measurements."""
    pairs = [(one["decision"], other["decision"])]
    for part in ("by_step", "by_readout"):
        pairs += [(value, other[part][key]) for key, value in one[part].items()]
    return max(abs(a - b) for a, b in pairs)


def sessions(run: RunFolder) -> dict[str, Any]:
    """The command, the commit and the machine of a run, without the places of its files."""
    record = json.loads((run.path / RUN).read_text(encoding="utf-8"))["sessions"]
    return {
        "command": " ".join(shlex.quote(word) for word in public(record[0]["command"])),
        "commit": record[-1]["git_commit"],
        "trained": record[-1]["time"],
        "sessions": len(record),
        "trained_with": {"packages": record[-1]["packages"], "machine": record[-1]["machine"]},
    }


def public(command: list[str]) -> list[str]:
    """A command line as anyone could give it: folders of this machine become DIR and RUN."""
    words, shown = ["ventral"], {"--root": "DIR", "--out": "RUN", "--resume": "RUN", "--config": "CONFIG"}
    for before, word in itertools.pairwise(command):
        option, equals, _ = word.partition("=")
        if before in shown:
            words.append(shown[before])
        elif equals and option in shown:
            words.append(f"{option}={shown[option]}")
        else:
            words.append(Path(word).name if "/" in word else word)
    return words


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except VentralError as error:
        sys.exit(f"error: {error}")
