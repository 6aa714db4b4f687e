"""What a run leaves on disk, and how it is read again.

RUN/config.json, model.safetensors   the network, as of the last whole epoch (`ventralstream.load_network(RUN)`)
RUN/recipe.json                    how it is trained
RUN/run.json                       the classes, and of each session when, where and with what it ran
RUN/metrics.csv, tensorboard/      what was measured
RUN/checkpoints/                   to carry on from
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ventralstream.checkpoints import load_network, save_network
from ventralstream.data import SetInfo
from ventralstream.errors import VentralError
from ventralstream.files import write_text
from ventralstream.jsonable import from_json
from ventralstream.network import Network
from ventralstream.training.checkpoint import checkpoints, position, read_checkpoint
from ventralstream.training.provenance import provenance
from ventralstream.training.recipe import Place, Recipe

RECIPE, RUN, METRICS, TENSORBOARD, CHECKPOINTS = (
    "recipe.json",
    "run.json",
    "metrics.csv",
    "tensorboard",
    "checkpoints",
)


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and what was read of it.

    Attributes:
        path: The folder.
        recipe: How the network is trained.
        data: The image set: its classes and the preprocessing of its images.
        place: Where the last session ran.
    """

    path: Path
    recipe: Recipe
    data: SetInfo
    place: Place

    @property
    def metrics(self) -> Path:
        """The file of the metrics."""
        return self.path / METRICS

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint."""
        found = checkpoints(self.path / CHECKPOINTS)
        return found[-1] if found else None

    @property
    def position(self) -> tuple[int, int]:
        """(whole epochs, batches of the next one) of which there is a checkpoint."""
        return position(self.checkpoint.name) if self.checkpoint else (0, 0)

    @property
    def complete(self) -> bool:
        """Whether all epochs were trained."""
        return self.position[0] >= self.recipe.epochs

    def begin_session(self, place: Place) -> None:
        """Notes in `run.json` that training begins or goes on, here and now."""
        record = _read_json(self.path / RUN)
        begins_at = self.checkpoint.name if self.checkpoint else None
        record["sessions"].append({"place": place.to_json(), "from_checkpoint": begins_at, **provenance()})
        write_text(self.path / RUN, json.dumps(record, indent=1))

    def load_network(self) -> Network:
        """The network as of the last whole epoch; its first weights if there is none yet."""
        return load_network(self.path)

    def update_weights(self) -> None:
        """Makes `model.safetensors` what the newest checkpoint holds."""
        assert self.checkpoint is not None
        prefix = "network."  # where the network stands in the task
        state = read_checkpoint(self.checkpoint)["state_dict"]
        network = self.load_network()
        network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        save_network(network, self.path)


def refuse_used(path: Path) -> None:
    """Raises VentralError if there is something at `path` already; an empty folder is nothing."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        hint = f"carry on with --resume {path}, or " if (path / RECIPE).is_file() else ""
        raise VentralError(f"'{path}' exists and is not an empty folder; {hint}choose another one")


def create_run(path: Path, network: Network, recipe: Recipe, data: SetInfo) -> None:
    """Makes a run's folder; `recipe.json`, written last, marks it as one."""
    refuse_used(path)
    save_network(network, path)
    write_text(path / RUN, json.dumps({"data": data.to_json(), "sessions": []}, indent=1))
    write_text(path / RECIPE, json.dumps(recipe.to_json(), indent=1))


def open_run(path: str | Path) -> RunFolder:
    """Reads a run's folder.

    Raises:
        VentralError: if it is none, or its files are broken.
    """
    path = Path(path)
    if not (path / RECIPE).is_file():
        state = "there is no such folder" if not path.exists() else f"there is no {RECIPE} in it"
        raise VentralError(f"'{path}' is not a training run: {state}")
    recipe = from_json(_read_json(path / RECIPE))
    if not isinstance(recipe, Recipe):
        raise VentralError(f"'{path / RECIPE}' holds no recipe")
    record = _read_json(path / RUN)
    try:
        data, sessions = from_json(record["data"]), record["sessions"]
        place = from_json(sessions[-1]["place"]) if sessions else Place()
    except (KeyError, TypeError) as error:
        raise VentralError(f"'{path / RUN}' is not the record of a run: {error!r}") from None
    return RunFolder(path, recipe, data, place)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise VentralError(f"'{path}' cannot be read: {error}") from None
