"""Transfer: how well a linear readout of a network's features tells the classes of another image set, step by step.

The procedure of Kubilius, Schrimpf et al. 2019 for CIFAR-100 (docs/papers.md B.8): multinomial logistic regression
(L-BFGS) on the penultimate features of a network that is left as it is, its C chosen on validation images.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import interpolate

from ventralstream import budget
from ventralstream.data import FolderSet, Loader, load_set
from ventralstream.device import choose_device
from ventralstream.errors import VentralError
from ventralstream.features.batches import Asked, ask, recorded
from ventralstream.features.sources import Stream
from ventralstream.layers.specs import GlobalPool
from ventralstream.network import Network
from ventralstream.progress import Progress, print_plainly
from ventralstream.record import Record, Reduce
from ventralstream.spec import IMAGE, NetworkSpec

CS = tuple(float(f"{c:.3g}") for c in np.geomspace(0.0005, 0.05, 10))
"""The C that are tried: ten, evenly spaced in their logarithm (docs/papers.md B.8)."""

VALIDATION = 0.2
"""The share of the training images that C is chosen on: 10,000 of CIFAR-100's 50,000, as many of each class."""

MOST_ITERATIONS = 1000  # of one fit; our choice

Features = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear readout of one area at one step.

    Attributes:
        area, step, time_ms: What it reads, and when that step begins.
        c: The chosen C.
        validation: Accuracy on the validation images with it, 0 to 1.
        accuracy: Accuracy on the test images, 0 to 1.
        right: Which test images it got right, [image].
        unconverged: Fits of it that stopped before they had converged.
    """

    area: str
    step: int
    time_ms: float
    c: float
    validation: float
    accuracy: float
    right: NDArray[np.bool_]
    unconverged: int


@dataclass(frozen=True)
class Transfer:
    """How well a network's features tell the classes of a set.

    Attributes:
        data: The image set.
        classes: The names of its classes.
        train, validation, test: Number of images; C is chosen on the second, and the final fit is on the first two.
        standardised: Whether features were standardised.
        seed: Of the choice of the validation images.
        reduce: How maps became features.
        probes: One of each area and step.
    """

    data: str
    classes: tuple[str, ...]
    train: int
    validation: int
    test: int
    standardised: bool
    seed: int
    reduce: Reduce
    probes: tuple[Probe, ...]

    @property
    def notes(self) -> list[str]:
        """What is to be known of the fits, in sentences."""
        told = []
        if unconverged := [p for p in self.probes if p.unconverged]:
            count, fits = sum(p.unconverged for p in unconverged), len(self.probes) * (len(CS) + 1)
            first = f"{unconverged[0].area} at step {unconverged[0].step}"
            told.append(
                f"{count} of {fits} fits stopped after {MOST_ITERATIONS} iterations before they had converged, the"
                f" first of them of {first}: these accuracies may be a little low"
            )
        if edge := [p for p in self.probes if p.c in (CS[0], CS[-1])]:
            told.append(
                f"of {len(edge)} of {len(self.probes)} probes the best C is an end of the range that was tried,"
                f" {CS[0]:g} to {CS[-1]:g}: one beyond may be better"
            )
        return told


def transfer(
    network: Network,
    data: str,
    root: str | Path | None = None,
    *,
    areas: Sequence[str] | None = None,
    steps: int | None = None,
    record_steps: Sequence[int] | None = None,
    reduce: Reduce | None = None,
    standardise: bool = True,
    subset: int | None = None,
    test_subset: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    workers: int = 2,
    device: str = "auto",
    console: Console | None = None,
) -> Transfer:
    """Fits a linear readout to a network's features at each step, and tests it on images held out.

    C is the best of `CS` on `VALIDATION` of the training images (the smallest of equals); the readout is then fitted on
    all of them. Known of the published procedure are the features, the classifier, the range of C and the numbers of
    images. Our choices: features are standardised, the validation images are as many of each class, the last fit takes
    all training images, and each is ended at `MOST_ITERATIONS`.

    Args:
        network: The network; it is run in evaluation mode and left as it is. Images are brought to its input size.
        data: An image set's name; see `ventralstream.data.load_set`. Its training images are fitted, its "val" images
            (CIFAR's test images) tested.
        root: The set's folder.
        areas: Which areas; by default what the readout's area reads (the penultimate features).
        steps: Steps to unroll for; the network's own by default.
        record_steps: The steps to read at; by default all from the first that the image drives the area at.
        reduce: How maps become features; by default "mean" where the readout starts with a mean over space (or other
            areas are read), else "flatten".
        standardise: Whether each feature is brought to mean 0 and standard deviation 1 over the images of the fit.
        subset: Take only so many training images.
        test_subset: Test on so many images only.
        seed: Of the choice of the validation images.
        batch_size: Images at a time.
        workers: What decodes images beside the network.
        device: Where the network runs; see `choose_device`.
        console: Where progress is shown; None shows nothing.

    Raises:
        VentralError: for bad input, too few images of a class, or more features than the memory takes.
    """
    spec, quiet = network.spec, Console(quiet=True)
    asked, reduce = check_asked(network, areas, steps, record_steps, reduce)
    sets = [_images(spec, data, root, split, count) for split, count in (("train", subset), ("val", test_subset))]
    for passed_over in filter(None, (images.passed_over for images in sets)):
        print_plainly(console or quiet, passed_over)
    _check_memory(spec, asked, reduce, sum(map(len, sets)))
    labels = [images.labels.cpu().numpy() for images in sets]
    fitted, held = _split(labels[0], labels[1], sets[0].info.classes, data, seed)
    total = sum(map(len, sets))
    with Progress(f"showing {data} to {spec.name}", total, "images", console=console or quiet, every=5.0) as progress:
        train, test = (_features(network, asked, images, batch_size, workers, device, progress) for images in sets)
    probes: list[Probe] = []
    fits = sum(len(axis.steps) for axis in asked.axes.values()) * (len(CS) + 1)
    with Progress("fitting", fits, "fits", console=console or quiet, every=5.0) as progress:
        for area, axis in asked.axes.items():
            for i, step in enumerate(axis.steps):
                if i and all(np.array_equal(x[area][i - 1], x[area][i]) for x in (train, test)):
                    probes.append(dataclasses.replace(probes[-1], step=step, time_ms=axis.times_ms[i]))  # nothing new
                    progress.update(progress.done + len(CS) + 1)
                    continue
                some = _Split(train[area][i], labels[0], fitted, held, test[area][i], labels[1], standardise)
                probes.append(_probe(area, step, axis.times_ms[i], some, progress))
    info = sets[0].info
    return Transfer(
        data, info.classes, len(fitted), len(held), len(labels[1]), standardise, seed, reduce, tuple(probes)
    )


def check_asked(
    network: Network,
    areas: Sequence[str] | None,
    steps: int | None,
    record_steps: Sequence[int] | None,
    reduce: Reduce | None,
) -> tuple[Asked, Reduce]:
    """What `transfer` records of a network, and how maps become features; VentralError if it cannot."""
    spec, own = network.spec, areas is None
    names = tuple(_sources(spec)) if areas is None else tuple(areas)
    reduce = reduce or ("mean" if not own or _starts_with_mean(spec) else "flatten")
    return _asked(network, names, steps, record_steps, reduce), reduce


def _sources(spec: NetworkSpec) -> list[str]:
    """The areas that the readout's area reads."""
    names = dict.fromkeys(c.source for _, c in spec.inputs(spec.readout_area) if c.source != IMAGE)
    names.pop(spec.readout_area, None)
    if not names:
        raise VentralError(f"the readout of '{spec.name}' reads no other area; name the areas whose features to take")
    return list(names)


def _starts_with_mean(spec: NetworkSpec) -> bool:
    area = spec.area(spec.readout_area)
    layers = (*area.drive, *area.output)
    return bool(layers) and isinstance(layers[0], GlobalPool)


def _asked(
    network: Network, areas: Sequence[str], steps: int | None, record_steps: Sequence[int] | None, reduce: Reduce
) -> Asked:
    """What is recorded: each area from the first step that the image drives it at."""
    asked = ask(network, Record(areas, record_steps, reduce), steps)
    records = []
    for area, axis in asked.axes.items():
        driven = [t for t in axis.steps if t >= axis.first_step]
        if not driven or (record_steps is not None and len(driven) < len(axis.steps)):
            raise VentralError(
                f"the image drives area '{area}' from step {axis.first_step} on; before, its features are alike for all"
            )
        records.append(Record(area, driven, reduce))
    return ask(network, records, steps)


def _images(spec: NetworkSpec, data: str, root: str | Path | None, split: Any, subset: int | None) -> Any:
    """A part of an image set, normalised as the network wants it; files are cut to its size as they are read."""
    side = _side(spec)
    images = load_set(data, root, split, size=side if data in ("folder", "scenes") else None, subset=subset)
    info, channels = images.info, spec.input_shape[0]
    if info.preprocessing.channels != channels and not isinstance(images, FolderSet):  # files are read as wanted
        raise VentralError(
            f"'{spec.name}' takes images of {channels} channels, those of '{data}' have {info.preprocessing.channels}"
        )
    preprocessing = info.preprocessing.replace(mean=spec.mean, std=spec.std)  # as many channels as these have
    return dataclasses.replace(images, info=info.replace(preprocessing=preprocessing))


def _side(spec: NetworkSpec) -> int:
    height, width = spec.input_shape[1:]
    if height != width:
        raise VentralError(f"'{spec.name}' takes images of {height} x {width} pixels; image sets have square ones")
    return height


def _features(
    network: Network,
    asked: Asked,
    images: Any,
    batch_size: int,
    workers: int,
    device: str,
    progress: Progress,
) -> dict[str, Features]:
    """The features of a set's images in their order: per area [step, image, feature]."""
    ids, side = tuple(map(str, range(len(images)))), _side(network.spec)
    loader = Loader(images, batch_size, train=False, workers=workers)

    def shown() -> Iterator[Tensor]:
        for batch, _ in loader:
            same = batch.shape[-1] == side
            yield batch if same else interpolate(batch, (side, side), mode="bilinear", antialias=True)

    found: dict[str, Features] = {}
    first = 0
    stream = Stream(ids, shown(), ids)
    for batch in recorded(network, asked, stream.batches(batch_size), device=choose_device(device)):
        rows = slice(first, first := first + len(batch.ids))
        for area, values in batch.activations.items():
            flat = values.float().flatten(2).transpose(0, 1).numpy()
            if area not in found:
                found[area] = np.empty((flat.shape[0], len(ids), flat.shape[2]), np.float32)
            found[area][:, rows] = flat
        progress.update(progress.done + len(batch.ids))
    for area, array in found.items():
        if not np.isfinite(array).all():
            raise VentralError(
                f"the features of area '{area}' are not finite: its weights or activations are too large"
            )
    return found


def _check_memory(spec: NetworkSpec, asked: Asked, reduce: Reduce, images: int) -> None:
    shapes = spec.shapes().output
    numbers = {
        area: len(axis.steps) * (shapes[area][0] if reduce in ("mean", "max") else math.prod(shapes[area]))
        for area, axis in asked.axes.items()
    }
    # Of each area at a step in turn there are also the part that is fitted, and scaled copies of both (our estimate).
    at_once = max(numbers[area] / len(axis.steps) for area, axis in asked.axes.items())
    wanted = 4 * images * (sum(numbers.values()) + 2 * at_once)
    if wanted > budget.MEMORY / 2:
        raise VentralError(
            f"the features of {images:,} images would take {wanted / 1e9:.3g} GB, more than half of this machine's"
            " memory; take fewer areas or steps, means over space, or a subset of the images"
        )


def _split(
    labels: NDArray[np.int64], tested: NDArray[np.int64], classes: Sequence[str], data: str, seed: int
) -> tuple[Any, Any]:
    """The rows to fit on, and those to choose C on: as many of each class."""
    counts, there = np.bincount(labels, minlength=len(classes)), {*labels.tolist(), *tested.tolist()}
    few = [name for i, name in enumerate(classes) if i in there and counts[i] * VALIDATION < 1]
    if few or (counts > 0).sum() < 2:
        least = math.ceil(1 / VALIDATION)
        what = f"'{few[0]}' has {counts[list(classes).index(few[0])]}" if few else "there is one class"
        raise VentralError(
            f"to choose C on a part of the images, {data} needs two classes and {least} training images of each; {what}"
        )
    fitted, held = train_test_split(
        np.arange(len(labels)), test_size=VALIDATION, random_state=seed, shuffle=True, stratify=labels
    )
    return np.sort(fitted), np.sort(held)


@dataclass(frozen=True, eq=False)
class _Split:
    """What one probe is fitted to and tested on."""

    train: Features
    labels: NDArray[np.int64]
    fitted: NDArray[np.int64]
    held: NDArray[np.int64]
    test: Features
    test_labels: NDArray[np.int64]
    standardise: bool

    def scaled(self, fit_on: Features, *others: Features) -> tuple[Features, ...]:
        """Features as they are, or standardised by the first of them."""
        if not self.standardise:
            return (fit_on, *others)
        scaler = StandardScaler().fit(fit_on)
        return tuple(scaler.transform(x) for x in (fit_on, *others))


def _probe(area: str, step: int, time_ms: float, some: _Split, progress: Progress) -> Probe:
    classifier = LogisticRegression(solver="lbfgs", max_iter=MOST_ITERATIONS, warm_start=True)
    unconverged = 0

    def fit(c: float, x: Features, y: NDArray[np.int64]) -> None:
        nonlocal unconverged
        classifier.set_params(C=c)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ConvergenceWarning)
            classifier.fit(x, y)
        unconverged += any(issubclass(w.category, ConvergenceWarning) for w in told)
        progress.update(progress.done + 1, f"{area} step {step}")

    fitted, held = some.scaled(some.train[some.fitted], some.train[some.held])
    best, chosen = -1.0, CS[0]
    for c in CS:  # ascending: each fit starts from the one before
        fit(c, fitted, some.labels[some.fitted])
        right = float((classifier.predict(held) == some.labels[some.held]).mean())
        if right > best:
            best, chosen = right, c
    train, test = some.scaled(some.train, some.test)
    fit(chosen, train, some.labels)
    answers: NDArray[np.bool_] = classifier.predict(test) == some.test_labels
    return Probe(area, step, time_ms, chosen, best, float(answers.mean()), answers, unconverged)
