"""What a run leaves on disk, and how it is read again.

RUN/config.json, model.safetensors, SHA256SUMS
                                   the network, as of the last whole epoch (`ventralstream.load_network(RUN)`)
RUN/recipe.json                    how it is trained
RUN/run.json                       the classes, and of each session when, where and with what it ran
RUN/metrics.csv, tensorboard/      what was measured
RUN/checkpoints/                   to carry on from; each holds all that the files above say, with checksums
RUN/run.lock                       there while a process trains, which it names

Whatever happens to the files beside the checkpoints, a run that goes on puts them right again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ventralstream.checkpoints import load_network, save_network
from ventralstream.checkpoints.disk import SPEC_FILE, SUMS_FILE, TENSOR_FILE
from ventralstream.data import Fingerprint, SetInfo
from ventralstream.device import device_name
from ventralstream.errors import VentralError, reason, shortened
from ventralstream.files import PART, claimed, remove, write_text
from ventralstream.jsonable import from_json
from ventralstream.network import Network
from ventralstream.spec import NetworkSpec, spec_from_json
from ventralstream.training.checkpoint import (
    checkpoints,
    position,
    position_name,
    read_checkpoint,
    write_checkpoint,
)
from ventralstream.training.fitting import check_fits
from ventralstream.training.provenance import provenance
from ventralstream.training.recipe import Place, Recipe

CONFIG, WEIGHTS, SUMS = SPEC_FILE, TENSOR_FILE, SUMS_FILE
RECIPE, RUN, METRICS, TENSORBOARD, CHECKPOINTS, LOCK = (
    "recipe.json",
    "run.json",
    "metrics.csv",
    "tensorboard",
    "checkpoints",
    "run.lock",
)
_FILES = (CONFIG, WEIGHTS, SUMS, RECIPE, RUN, METRICS)


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stood: everything that it takes to go on from there.

    Attributes:
        epoch: Whole epochs done.
        batch: Batches done of the next one; all of them if only its validation is missing.
        recipe: How the network is trained.
        spec: The network.
        data: Its images.
        fingerprints: Of the images to train and to validate on.
        place: Where it was trained last.
        network: The network's tensors.
        average: Those of the average of its weights, if the recipe has one.
        optimizer: The optimiser's state; None at the beginning.
        scaler: That of the loss's scaler, with precision "16".
        loader: Where the loader stood.
        seen: Sum of losses, right answers and images of the epoch so far, a row for each process.
        flops: What training has cost up to here; see `ventralstream.cost.training_flops`.
        metrics: `metrics.csv` up to here.
    """

    epoch: int
    batch: int
    recipe: Recipe
    spec: NetworkSpec
    data: SetInfo
    fingerprints: tuple[Fingerprint, ...]
    place: Place
    network: dict[str, Tensor]
    average: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] | None = None
    scaler: dict[str, Any] = field(default_factory=dict)
    loader: dict[str, int] = field(default_factory=dict)
    seen: Tensor = field(default_factory=lambda: torch.zeros(1, 3))
    flops: int = 0
    metrics: str = ""

    def content(self) -> dict[str, Any]:
        """For `write_checkpoint`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        specs = {name: values[name].to_json() for name in ("recipe", "spec", "data", "place")}
        return values | specs | {"fingerprints": [f.to_json() for f in self.fingerprints]}

    def build(self) -> Network:
        """The network as it was; leaves the global random state alone."""
        return self._built(self.network)

    def learnt(self) -> Network:
        """What the run has learnt: the network, or the average of its weights."""
        return self._built(self.average or self.network)

    def _built(self, tensors: dict[str, Tensor]) -> Network:
        with torch.random.fork_rng(devices=[]):
            network = Network(self.spec)
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            told = shortened(" ".join(str(error).split()), 200)
            raise VentralError(f"its weights are not those of its network: {told}") from None
        return network

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads one from its folder; VentralError if it is damaged, or its parts do not fit each other."""
        content = read_checkpoint(path)
        try:
            values = content | {name: from_json(content[name]) for name in ("recipe", "data", "fingerprints", "place")}
            found = cls(**values | {"spec": spec_from_json(content["spec"])})
            check_fits(found)
        except (KeyError, TypeError, AttributeError, ValueError) as error:  # whole, but written by another version
            raise VentralError(f"the checkpoint '{path}' cannot be used: {reason(error)}") from None
        if (found.epoch, found.batch) != position(path.name):
            raise VentralError(f"the checkpoint '{path}' bears another one's name")
        return found


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and what was read of it.

    Attributes:
        path: The folder.
        recipe: How the network is trained.
        data: The image set: its classes and the preprocessing of its images.
        place: Where the last session ran.
        fingerprints: Of the images to train and to validate on.
    """

    path: Path
    recipe: Recipe
    data: SetInfo
    place: Place
    fingerprints: tuple[Fingerprint, ...] = ()

    @property
    def metrics(self) -> Path:
        """The file of the metrics."""
        return self.path / METRICS

    @property
    def position(self) -> tuple[int, int]:
        """(whole epochs, batches of the next one) of which there is a checkpoint, whole or not."""
        found = checkpoints(self.path / CHECKPOINTS)
        return position(found[-1].name) if found else (0, 0)

    @property
    def complete(self) -> bool:
        """Whether all epochs were trained."""
        return self.position[0] >= self.recipe.epochs

    def begin_session(self, place: Place, start: Checkpoint) -> None:
        """Notes in `run.json` that training begins or goes on, here and now."""
        try:
            sessions = list(_read_json(self.path / RUN)["sessions"])
        except (VentralError, TypeError, KeyError):  # it has been said that the file is damaged
            sessions = []
        begins_at = position_name(start.epoch, start.batch)
        here = {"place": place.to_json(), "from_checkpoint": begins_at, "threads": torch.get_num_threads()}
        sessions.append(here | {"device": device_name(place.device)} | provenance())
        _write_record(self.path, self.data, self.fingerprints, sessions)

    def load_network(self) -> Network:
        """The network as of the last whole epoch; its first weights if there is none yet."""
        return load_network(self.path)

    def save_weights(self, network: Network) -> None:
        """Makes `model.safetensors` what the network is now."""
        save_network(network, self.path)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Claims a run's folder, which is there, for this process.

    Raises:
        VentralError: if another process trains in it.
    """

    def busy(other: str) -> str:
        return f"{other} is training in '{path}'; let it finish, or end it and carry on with --resume {path}"

    with claimed(path / LOCK, busy):
        yield


def refuse_used(path: Path) -> None:
    """Raises VentralError if there is something at `path` already.

    An empty folder is nothing, nor is what a run left that was ended before it began.
    """
    if not os.path.lexists(path) or (path.is_dir() and _never_began(path)):
        return
    hint = f"carry on with --resume {path}, or " if _is_run(path) else ""
    raise VentralError(f"'{path}' exists and is not an empty folder; {hint}choose another one")


@contextmanager
def created_run(path: Path, start: Checkpoint) -> Iterator[RunFolder]:
    """Makes a run's folder, and claims it for as long as the block runs.

    Its `run.json` comes first, its first checkpoint, from which the run can go on, last.
    """
    refuse_used(path)
    path.mkdir(parents=True, exist_ok=True)
    with alone(path):
        refuse_used(path)  # another process may have begun it and come to an end
        for entry in path.iterdir():
            if entry.name != LOCK:
                remove(entry)
        _write_record(path, start.data, start.fingerprints, [])
        save_network(start.learnt(), path)
        write_text(path / RECIPE, _json(start.recipe.to_json()))
        write_checkpoint(path / CHECKPOINTS / position_name(0, 0), start.content())
        yield RunFolder(path, start.recipe, start.data, start.place, start.fingerprints)


def _is_run(path: Path) -> bool:
    """Whether there is a run's folder at `path`, be it damaged."""
    return (path / RECIPE).is_file() or bool(checkpoints(path / CHECKPOINTS))


def _never_began(path: Path) -> bool:
    """Whether a folder holds only what `created_run` writes, of a run that was ended before its first session."""
    names = {entry.name.removesuffix(PART) for entry in path.iterdir()} - {LOCK}
    if not (path / RUN).exists():
        return names <= {RUN}
    try:
        sessions = _read_json(path / RUN)["sessions"]
    except (VentralError, TypeError, KeyError):
        return False
    return sessions == [] and names <= {RUN, CONFIG, WEIGHTS, SUMS, RECIPE, CHECKPOINTS}


def open_run(path: str | Path) -> RunFolder:
    """Reads a run's folder.

    Raises:
        VentralError: if it is none, or its files are damaged.
    """
    path = Path(path)
    check_is_run(path)
    if not (path / RECIPE).is_file():
        raise VentralError(f"the run '{path}' has lost its {RECIPE}; `ventral train --resume {path}` writes it again")
    recipe = _read_spec(path / RECIPE, _read_json(path / RECIPE), Recipe)
    record = _read_json(path / RUN)
    if not isinstance(record, dict) or not isinstance(sessions := record.get("sessions"), list):
        raise VentralError(f"'{path / RUN}' is damaged: it is not the record of a run")
    data = _read_spec(path / RUN, record.get("data"), SetInfo)
    last = sessions[-1] if sessions and isinstance(sessions[-1], dict) else None
    place = None if last is None else _read_spec(path / RUN, last.get("place"), Place)
    return RunFolder(path, recipe, data, place or _place_at_the_start(path))


def _place_at_the_start(path: Path) -> Place:
    """Where a run was begun that was ended before its first session; this machine's defaults if that is lost."""
    try:
        return Checkpoint.read(path / CHECKPOINTS / position_name(0, 0)).place
    except VentralError:
        return Place()


def recover(path: Path, say: Callable[[str], None], repair: bool) -> tuple[RunFolder, Checkpoint]:
    """Reads a run for going on with it: its newest whole checkpoint, of which the other files are restored.

    Args:
        path: The run's folder.
        say: Takes a sentence for everything that was found damaged.
        repair: Whether to write, and say, anything: not in a further process of the same run.

    Raises:
        VentralError: if it is no run, or has no whole checkpoint.
    """
    check_is_run(path)
    for name in _FILES:
        if (path / name).is_dir():
            raise VentralError(f"'{path / name}' is a folder; expected a file, or nothing, for the run to write again")
    start, damages = None, []
    found = checkpoints(path / CHECKPOINTS)
    for candidate in reversed(found):
        try:
            start = Checkpoint.read(candidate)
            _check_same_run(start, candidate, found[0])
            break
        except VentralError as error:
            start = None
            damages.append(str(error))
    if start is None and not damages and _never_began(path):
        raise VentralError(f"the run '{path}' was ended before it began; begin it again with --out {path}")
    if start is None:
        why = damages[0] if damages else f"there is none in '{path / CHECKPOINTS}'"
        raise VentralError(f"'{path}' has no whole checkpoint to carry on from: {why}; begin a new run")
    try:
        place = open_run(path).place
    except VentralError:
        place = start.place
    run = RunFolder(path, start.recipe, start.data, place, start.fingerprints)
    if repair:
        for damage in damages:
            say(f"{damage}; carrying on from '{position_name(start.epoch, start.batch)}'")
        _restore(run, start, say)
    return run, start


def _check_same_run(start: Checkpoint, path: Path, oldest: Path) -> None:
    """Raises VentralError for a checkpoint that somebody put beside those of another run."""
    try:
        first = start if path == oldest else Checkpoint.read(oldest)
    except VentralError:  # said when it is its turn
        return
    if any(getattr(first, part) != getattr(start, part) for part in ("recipe", "spec", "data", "fingerprints")):
        raise VentralError(f"the checkpoint '{path}' is of another run than '{oldest.name}' beside it")


def _restore(run: RunFolder, start: Checkpoint, say: Callable[[str], None]) -> None:
    """Puts right what lies beside the checkpoints; `metrics.csv` follows with the session."""
    for name, content in ((RECIPE, start.recipe), (CONFIG, start.spec)):
        text = content.to_text() if isinstance(content, NetworkSpec) else _json(content.to_json())
        try:
            same = from_json(_read_json(run.path / name)) == content
        except Exception:  # whatever is wrong with it
            same = False
        if not same:
            say(f"'{run.path / name}' was damaged or changed: it is again what the run was begun with")
            write_text(run.path / name, text)
    try:
        record = open_run(run.path)
        same = record.data == start.data
    except VentralError:
        same = False
    if not same:
        say(f"'{run.path / RUN}' was damaged: what it said of the images is restored, earlier sessions may be lost")
        _write_record(run.path, start.data, start.fingerprints, [])
    try:
        there = run.metrics.read_text(encoding="utf-8") if run.metrics.exists() else ""
    except (OSError, ValueError):
        there = "?"
    if not there.startswith(start.metrics):
        say(f"'{run.metrics}' was damaged: its rows are restored from the checkpoint")
    if not start.batch:  # the last session may have died just before it did
        run.save_weights(start.learnt())


def check_is_run(path: Path) -> None:
    """Raises VentralError if there is no run in a folder, not even a damaged one."""
    if not path.is_dir():
        state = "it is a file" if path.exists() else "there is no such folder"
    elif _is_run(path):
        return
    elif any(path.iterdir()) and _never_began(path):
        state = f"what is in it was left by one that was ended before it began; begin it again with --out {path}"
    else:
        state = f"there is no {RECIPE} in it"
    raise VentralError(f"'{path}' is not a training run: {state}")


def _write_record(path: Path, data: SetInfo, fingerprints: tuple[Fingerprint, ...], sessions: list[Any]) -> None:
    record = {"data": data.to_json(), "fingerprints": [f.to_json() for f in fingerprints], "sessions": sessions}
    write_text(path / RUN, _json(record))


def _json(data: Any) -> str:
    return json.dumps(data, indent=1)


def _read_spec(path: Path, data: Any, wanted: type[Any]) -> Any:
    try:
        found = from_json(data)
    except (VentralError, TypeError, AttributeError, RecursionError) as error:
        raise VentralError(f"'{path}' is damaged: {reason(error)}") from None
    if not isinstance(found, wanted):
        raise VentralError(f"'{path}' is damaged: it holds no {wanted.tag}")
    return found


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise VentralError(f"'{path}' cannot be read: {reason(error)}") from None
