"""How well a network does, step by step, and when it answers early."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ventralstream.arguments import misfit
from ventralstream.errors import VentralError
from ventralstream.network import Network
from ventralstream.readout import PerStep, Readout
from ventralstream.timing import check_driven

Batches = Iterable[tuple[Tensor, Tensor]]
VIEWS = ("mirrored", "ten")


@dataclass(frozen=True)
class StepAccuracies:
    """Accuracy over time.

    Attributes:
        steps: The steps, from the first at which the image drives the logits.
        times_ms: Their times.
        accuracy: At each of them, the share of images whose largest logit is their class's, 0 to 1.
        decision: The accuracy of what the readout decides from all of them.
        images: Number of images.
    """

    steps: tuple[int, ...]
    times_ms: tuple[float, ...]
    accuracy: tuple[float, ...]
    decision: float
    images: int


@dataclass(frozen=True)
class ViewsAccuracy:
    """What deciding from several views of each image gives (test-time augmentation).

    Attributes:
        views: Views of each image.
        accuracy: Share of right answers, 0 to 1.
        images: Number of images.
    """

    views: int
    accuracy: float
    images: int


@dataclass(frozen=True)
class EarlyExit:
    """What answering at a threshold of confidence gives.

    Attributes:
        threshold: The largest class probability at which an image is answered.
        accuracy: Share of right answers, 0 to 1.
        mean_step, median_step: Of the answers; the lower median.
        mean_ms, median_ms: The same in milliseconds.
        confident: Share of images that reached it; the others got their most confident step's answer.
        images: Number of images.
    """

    threshold: float
    accuracy: float
    mean_step: float
    median_step: int
    mean_ms: float
    median_ms: float
    confident: float
    images: int


class StepCounts:
    """Counts right answers at every step, batch by batch.

    Args:
        network: The network.
        steps: Steps to run; the spec's by default.
        readout: How the decision is taken; the spec's by default.

    Attributes:
        counts: [steps + 3], whole numbers: right answers at each step, right decisions, images, and images with a
            logit that is not finite. Counts of parts of a set add up.
    """

    def __init__(self, network: Network, steps: int | None = None, readout: Readout | None = None) -> None:
        self.network = network
        self.readout = readout or network.spec.readout
        self.stop = network.count_steps(steps)
        check_driven(network.spec, self.stop)
        self.steps: tuple[int, ...] = ()
        self.counts = torch.zeros(0, dtype=torch.long)

    @torch.no_grad()
    def add(self, images: Tensor, labels: Tensor) -> None:
        """Runs the network, in the mode it is in, on images [B, C, H, W] of classes `labels` [B]."""
        _check_labels(images, labels)
        out = self.network(images, self.stop, readout=PerStep())
        wanted = self.readout.steps(out.steps[0], self.stop)
        decision = self.readout.decide(out.logits[:, [i for i, t in enumerate(out.steps) if t in wanted]])
        right = torch.cat([out.logits, decision[:, None]], 1).argmax(-1) == labels[:, None]
        broken = ~out.logits.isfinite().flatten(1).all(1)
        images = right.new_tensor([len(labels)], dtype=torch.long)
        counts = torch.cat([right.sum(0), images, broken.sum()[None]])
        self.counts = self.counts.to(counts.device) + counts if self.steps else counts
        self.steps = out.steps

    def result(self) -> StepAccuracies:
        """The accuracies of what was counted so far.

        Raises:
            VentralError: if no image was counted, or the network gave logits that are not finite.
        """
        *right, decision, images, broken = self.counts.tolist() or (0, 0, 0)
        _refuse_none(images)
        if broken:
            raise VentralError(
                f"the logits of {broken} of {images} images are not finite: the network's weights or activations"
                " are too large"
            )
        return StepAccuracies(
            self.steps,
            self.network.times_ms(self.steps),
            tuple(r / images for r in right),
            decision / images,
            images,
        )


def accuracy_per_step(
    network: Network, batches: Batches, steps: int | None = None, readout: Readout | None = None
) -> StepAccuracies:
    """Measures the accuracy at every step.

    Args:
        network: The network; it runs in evaluation mode.
        batches: Normalised images float `[B, C, H, W]` and labels int64 `[B]`, at least one.
        steps: Steps to run, also more than the network was trained for; the spec's by default.
        readout: How the decision is taken; the spec's by default. With one that starts before the image
            drives the logits, only the later steps are looked at.
    """
    counts = StepCounts(network, steps, readout)
    with evaluating(network):
        for images, labels in batches:
            counts.add(images, labels)
    return counts.result()


def views_of(images: Tensor, kind: str) -> list[Tensor]:
    """Views of images [B, C, H, W], the images themselves first.

    Args:
        images: The images.
        kind: "mirrored" adds the mirror image; "ten" also shifts both by 1/16 of their size (2 px of 32) along the
            diagonals, with the image's reflection for what comes in from outside (our choice; ten crops of larger
            images are what others use).
    """
    if kind == "mirrored":
        return [images, images.flip(-1)]
    height, width = images.shape[-2:]
    down, right = height // 16, width // 16
    padded = F.pad(images, (right, right, down, down), mode="reflect")
    corners = [(y, x) for y in (0, 2 * down) for x in (0, 2 * right)]
    shifted = [images, *(padded[..., y : y + height, x : x + width] for y, x in corners)]
    return [view for one in shifted for view in (one, one.flip(-1))]


def accuracy_of_views(
    network: Network, batches: Batches, kind: str, steps: int | None = None, readout: Readout | None = None
) -> ViewsAccuracy:
    """Measures the accuracy of the mean, over several views of an image, of the class probabilities decided for each.

    This is not the network's accuracy, which is that of one view (`accuracy_per_step`).

    Args:
        network: The network; it runs in evaluation mode.
        batches: As for `accuracy_per_step`.
        kind: Which views; see `views_of`.
        steps, readout: As for `accuracy_per_step`.
    """
    right = images_seen = views = 0
    with evaluating(network), torch.no_grad():
        for images, labels in batches:
            _check_labels(images, labels)
            shown = views_of(images, kind)
            decided = [network(view, steps, readout=readout or "own").output.softmax(-1) for view in shown]
            right += int((sum(decided[1:], decided[0]).argmax(-1) == labels).sum())
            images_seen, views = images_seen + len(labels), len(shown)
    _refuse_none(images_seen)
    return ViewsAccuracy(views, right / images_seen, images_seen)


def early_exit(network: Network, batches: Batches, threshold: float, steps: int | None = None) -> EarlyExit:
    """Measures what `Network.decide` gives: each image is answered as soon as the network is confident.

    Args:
        network: The network; it runs in evaluation mode.
        batches: As for `accuracy_per_step`.
        threshold: Probability between 0 and 1.
        steps: The last chance; the spec's by default.
    """
    check_driven(network.spec, network.count_steps(steps))
    right, when, confident, finite = [], [], [], []
    with evaluating(network):
        for images, labels in batches:
            _check_labels(images, labels)
            decision = network.decide(images, threshold, steps)
            right.append((decision.logits.argmax(-1) == labels).cpu())
            when.append(decision.step.cpu())
            confident.append(decision.confident.cpu())
            finite.append(decision.logits.isfinite().all().cpu())
    _refuse_none(sum(map(len, when)))
    if not all(finite):
        raise VentralError("the network gives logits that are not finite: its weights or activations are too large")
    at = torch.cat(when)
    mean, median, dt_ms = at.double().mean().item(), int(at.median()), network.spec.dt_ms
    return EarlyExit(
        threshold,
        torch.cat(right).double().mean().item(),
        mean,
        median,
        mean * dt_ms,
        median * dt_ms,
        torch.cat(confident).double().mean().item(),
        len(at),
    )


def _check_labels(images: Tensor, labels: Tensor) -> None:
    if not isinstance(labels, Tensor) or labels.shape != images.shape[:1]:
        raise misfit("labels", labels, f"a tensor of the classes of {len(images)} images")


def _refuse_none(images: int) -> None:
    if not images:
        raise VentralError("there are no images to measure the accuracy on; expected at least one")


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """Puts a network into evaluation mode, and every module of it back into the mode it was in."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
