"""The experiment: three networks, the same scenes for each, and their answers at every step to new scenes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ventralstream.cells import Reciprocal
from ventralstream.data.pixels import normalise, seed_of
from ventralstream.data.scenes import MEAN, STD, Scenes, compose_scenes
from ventralstream.errors import VentralError
from ventralstream.models import build, count_parameters
from ventralstream.models.convrnn import everywhere, minimal
from ventralstream.models.convrnn_cifar import shallow_small
from ventralstream.models.feedforward import FEEDFORWARD_STEPS, match_width, scaled
from ventralstream.network import Network
from ventralstream.readout import Last, PerStep
from ventralstream.spec import NetworkSpec

RECURRENT, MINIMAL, FEEDFORWARD = "recurrent", "minimal", "feedforward"
NETWORKS = (RECURRENT, MINIMAL, FEEDFORWARD)
_CHUNK = 16  # batches of scenes composed at a time


@dataclass(frozen=True)
class Settings:
    """Everything that decides the outcome.

    Attributes:
        seed: Of the weights, the scenes and the bootstrap.
        updates: Updates of each network's weights.
        batch: Scenes in an update, each of them new.
        test_scenes: Held-out scenes at each level of clutter.
        clutter: Levels of clutter, trained together and tested one by one.
        steps: Steps of the recurrent network.
        channels: Its channels, conv1 to conv5.
        rate: Largest learning rate.
        weight_decay: Of AdamW.
        quick: Whether this is the tiny version, which shows that everything works and nothing more.
    """

    seed: int = 0
    updates: int = 1000
    batch: int = 64
    test_scenes: int = 2500
    clutter: tuple[int, ...] = (0, 1, 2, 3)
    steps: int = 10
    channels: tuple[int, ...] = (8, 12, 16, 16, 16)
    rate: float = 8e-3
    weight_decay: float = 0.01
    quick: bool = False

    def __post_init__(self) -> None:
        if self.seed < 0 or self.updates < 1:
            raise VentralError(
                f"the demo needs a seed of 0 or more and 1 update or more, got {self.seed} and {self.updates}"
            )


def quick(seed: int = 0) -> Settings:
    """The tiny version."""
    return Settings(seed, updates=30, batch=32, test_scenes=100, steps=9, channels=(8, 8, 8, 8, 8), quick=True)


def specs(settings: Settings) -> dict[str, NetworkSpec]:
    """The three networks: recurrent, the same for the fewest steps, feedforward with as many parameters."""
    shape = (1, 32, 32)
    recurrent = shallow_small(everywhere(Reciprocal()), 10, settings.channels, shape, settings.steps)

    def feedforward(width: float) -> NetworkSpec:
        return shallow_small({}, 10, scaled(settings.channels, width), shape, FEEDFORWARD_STEPS)

    found = {
        RECURRENT: recurrent,
        MINIMAL: minimal(recurrent),
        FEEDFORWARD: match_width(feedforward, count_parameters(recurrent)).spec,
    }
    return {name: spec.replace(name=name, mean=(MEAN,), std=(STD,), readout=PerStep()) for name, spec in found.items()}


def training_batches(settings: Settings) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised scenes [B, 1, 32, 32] and their digits [B]; no scene comes twice."""
    left = settings.updates
    while left:
        count = min(left, _CHUNK)
        left -= count
        scenes = compose_scenes(
            count * settings.batch, split="train", clutter=settings.clutter, seed=seed_of(settings.seed, left)
        )
        batches = zip(*(torch.split(part, settings.batch) for part in (scenes.images, scenes.labels)), strict=True)
        for images, labels in batches:
            yield normalise(images, (MEAN,), (STD,)), labels


def test_scenes(settings: Settings) -> list[Scenes]:
    """Scenes made of held-out scans, one set for each level of clutter; all levels show the same digits."""
    return [
        compose_scenes(settings.test_scenes, split="test", clutter=level, seed=settings.seed)
        for level in settings.clutter
    ]


def train(
    networks: Mapping[str, Network],
    settings: Settings,
    progress: Callable[[int, Mapping[str, float]], None],
) -> dict[str, float]:
    """Trains the networks side by side: each batch of scenes updates every one of them.

    The loss is the cross-entropy of the last step's answer, as in paper A: a network is free to use its time, and
    its earlier answers are what it has so far.

    Args:
        networks: The networks; trained in place.
        settings: The settings.
        progress: Called after each batch with the number of updates done and each network's loss.

    Returns:
        Seconds spent on each network.
    """
    optimizers = {
        name: torch.optim.AdamW(net.parameters(), settings.rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay)
        for name, net in networks.items()
    }
    seconds = dict.fromkeys(networks, 0.0)

    def learn(name: str, update: int, images: Tensor, labels: Tensor) -> float:
        began = time.perf_counter()
        network, optimizer = networks[name], optimizers[name]
        loss = F.cross_entropy(network.train()(images, readout=Last()).output, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * schedule(update, settings.updates)
        optimizer.step()
        seconds[name] += time.perf_counter() - began
        return loss.item()

    with _one_thread_each(len(networks)) as pool:
        for update, (images, labels) in enumerate(training_batches(settings)):
            jobs = {name: pool.submit(learn, name, update, images, labels) for name in networks}
            progress(update + 1, {name: job.result() for name, job in jobs.items()})
    return seconds


@contextmanager
def _one_thread_each(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for small networks: two of them side by side use two cores better than one spread over both."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(min(jobs, threads), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def schedule(update: int, updates: int) -> float:
    """The learning rate as a fraction of the largest: a rise over a tenth of the updates, then a cosine to 0."""
    rise = max(1, updates // 10)
    if update < rise:
        return (update + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (update - rise) / max(1, updates - rise)))


@torch.no_grad()
def answer(network: Network, scenes: Scenes, batch: int = 250) -> NDArray[np.float32]:
    """The probabilities [N, T', 10] that a network gives each digit at each step that the image drives."""
    network.eval()
    parts = [
        network(normalise(images, (MEAN,), (STD,))).logits.softmax(-1) for images in torch.split(scenes.images, batch)
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
        seconds: Spent on training each network, and on all ("total").
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


def run(settings: Settings, progress: Callable[[int, Mapping[str, float]], None]) -> Run:
    """Does the whole experiment; see `train` for `progress`."""
    began = time.perf_counter()
    networks = {name: build(spec, settings.seed) for name, spec in specs(settings).items()}
    seconds = train(networks, settings, progress)
    scenes = test_scenes(settings)
    probabilities = {name: np.stack([answer(net, s) for s in scenes]) for name, net in networks.items()}
    return Run(settings, networks, scenes, probabilities, {**seconds, "total": time.perf_counter() - began})
