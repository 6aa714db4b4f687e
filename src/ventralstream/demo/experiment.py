"""The experiment: three networks, the same scenes for each, and their answers at every step to new scenes."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from ventralstream.cells import Reciprocal
from ventralstream.checkpoints import load_network, load_spec
from ventralstream.data.pixels import normalise
from ventralstream.data.scenes import MEAN, STD, Scenes, compose_scenes
from ventralstream.errors import VentralError
from ventralstream.models import count_parameters
from ventralstream.models.convrnn import everywhere, minimal
from ventralstream.models.convrnn_cifar import Norms, shallow_small
from ventralstream.models.feedforward import FEEDFORWARD_STEPS, match_width, scaled
from ventralstream.network import Network
from ventralstream.progress import Progress
from ventralstream.readout import PerStep
from ventralstream.spec import NetworkSpec
from ventralstream.training import AdamW, MeanLoss, Place, Recipe, Schedule
from ventralstream.training.folder import open_run
from ventralstream.training.run import resume, train

RECURRENT, MINIMAL, FEEDFORWARD = "recurrent", "minimal", "feedforward"
NETWORKS = (RECURRENT, MINIMAL, FEEDFORWARD)
CLUTTER = (0, 1, 2, 3)  # trained together, tested one by one
_CHUNK = 250  # scenes answered at a time


@dataclass(frozen=True)
class Settings:
    """Everything that decides the outcome.

    Attributes:
        seed: Of the weights, the scenes and the bootstrap.
        epochs: Passes through the training scenes.
        training_scenes: How many there are, of all levels of clutter.
        batch_size: Scenes in an update.
        test_scenes: Held-out scenes at each level of clutter.
        steps: Steps of the recurrent network.
        channels: Its channels, conv1 to conv5.
        lr: The highest learning rate.
        weight_decay: Of AdamW.
        quick: Whether this is the tiny version, which shows that everything works and nothing more.
    """

    seed: int = 0
    epochs: int = 4
    training_scenes: int = 16_000
    batch_size: int = 64
    test_scenes: int = 2500
    steps: int = 10
    channels: tuple[int, ...] = (8, 12, 16, 16, 16)
    lr: float = 8e-3
    weight_decay: float = 0.01
    quick: bool = False

    def recipe(self) -> Recipe:
        """How each of the networks is trained."""
        return Recipe(
            data="scenes",
            subset=self.training_scenes,
            val_subset=max(100, self.training_scenes // 16),
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=AdamW(self.lr, self.weight_decay),
            loss=MeanLoss(),
            schedule=Schedule("cosine", warmup=self.epochs / 10),
            seed=self.seed,
        )


def quick(seed: int = 0) -> Settings:
    """The tiny version."""
    return Settings(seed, 1, 960, batch_size=32, test_scenes=100, steps=9, channels=(8, 8, 8, 8, 8), quick=True)


def specs(settings: Settings, norms: Norms = "none") -> dict[str, NetworkSpec]:
    """The three networks: recurrent, the same for the fewest steps, feedforward with as many parameters.

    Each is read out at every step that the image drives; its recipe trains all of them (`MeanLoss`): an early answer is
    then the best that the network can give by that time, and not the output of a decoder that never learned to. The
    demo's have no normalisation; `norms` is for comparisons with it.
    """
    shape = (1, 32, 32)
    recurrent = shallow_small(everywhere(Reciprocal()), 10, settings.channels, shape, settings.steps, norms=norms)

    def feedforward(width: float) -> NetworkSpec:
        return shallow_small({}, 10, scaled(settings.channels, width), shape, FEEDFORWARD_STEPS, norms=norms)

    found = {
        RECURRENT: recurrent,
        MINIMAL: minimal(recurrent),
        FEEDFORWARD: match_width(feedforward, count_parameters(recurrent)).spec,
    }
    return {name: spec.replace(name=name, mean=(MEAN,), std=(STD,), readout=PerStep()) for name, spec in found.items()}


def test_scenes(settings: Settings) -> list[Scenes]:
    """Scenes made of held-out scans, one set for each level of clutter; all levels show the same digits."""
    return [compose_scenes(settings.test_scenes, split="test", clutter=level, seed=settings.seed) for level in CLUTTER]


def trained(spec: NetworkSpec, recipe: Recipe, folder: Path, console: Console | None = None) -> Network:
    """The network of a training run in `folder`: a new run, or one of the same spec and recipe carried on."""
    place = Place(workers=0)
    try:
        same = open_run(folder).recipe == recipe and load_spec(folder) == spec
    except VentralError:
        same = False
    if same:
        resume(folder, place=place, console=console)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        train(spec, recipe, folder, place=place, console=console)
    return load_network(folder)


@torch.no_grad()
def answer(network: Network, scenes: Scenes) -> NDArray[np.float32]:
    """The probabilities [N, T', 10] that a network gives each digit at each step that the image drives."""
    parts = [
        network(normalise(images, (MEAN,), (STD,))).logits.softmax(-1) for images in torch.split(scenes.images, _CHUNK)
    ]
    probabilities: NDArray[np.float32] = torch.cat(parts).numpy()
    return probabilities


@dataclass(frozen=True)
class Run:
    """What came out.

    Attributes:
        settings: The settings.
        networks: The trained networks.
        scenes: The held-out scenes of each level of clutter.
        probabilities: Of each network [L, N, T', 10], over levels, scenes, its driven steps and digits.
        seconds: Spent on training each network (little where a finished run was found), and on all ("total").
    """

    settings: Settings
    networks: dict[str, Network]
    scenes: list[Scenes]
    probabilities: dict[str, NDArray[np.float32]]
    seconds: dict[str, float]

    def labels(self) -> NDArray[np.int64]:
        """The digits shown, [L, N]."""
        return np.stack([s.labels.numpy() for s in self.scenes])

    def correct(self, name: str) -> NDArray[np.bool_]:
        """Whether each answer of a network was right, [L, N, T']."""
        right: NDArray[np.bool_] = self.probabilities[name].argmax(-1) == self.labels()[..., None]
        return right

    def steps(self, name: str) -> range:
        """The steps of a network's answers."""
        network = self.networks[name]
        return range(network.first_steps[network.spec.readout_area], network.spec.steps)


def run(settings: Settings, folder: Path, console: Console | None = None) -> Run:
    """Does the whole experiment.

    Args:
        settings: The settings.
        folder: For the training runs, one folder a network; what is there of the same settings is carried on.
        console: Where progress is shown; None shows nothing.
    """
    console = console or Console(quiet=True)
    began, seconds, networks = time.perf_counter(), {}, {}
    for number, (name, spec) in enumerate(specs(settings).items(), 1):
        console.print(f"Network {number} of {len(NETWORKS)}, {name}:", highlight=False)
        started = time.perf_counter()
        networks[name] = trained(spec, settings.recipe(), folder / name, console)
        seconds[name] = time.perf_counter() - started
    with Progress("testing", len(networks) * len(CLUTTER), "sets of new scenes", console=console) as progress:
        scenes = test_scenes(settings)
        probabilities = {}
        for i, (name, net) in enumerate(networks.items()):
            answers = []
            for j, level in enumerate(scenes, 1):
                answers.append(answer(net, level))
                progress.update(i * len(scenes) + j)
            probabilities[name] = np.stack(answers)
    return Run(settings, networks, scenes, probabilities, {**seconds, "total": time.perf_counter() - began})
