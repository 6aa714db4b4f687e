"""Feedforward controls: the same areas without cells, wider or deeper ones matched in parameters, and ResNets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from ventralstream.layers.specs import Act, Conv, GlobalPool, Linear, Norm, Pool
from ventralstream.models.convrnn import (
    INTERMEDIATE_CHANNELS,
    POOLED,
    RGC_CHANNELS,
    SHALLOW_CHANNELS,
    chain,
    intermediate,
    shallow,
)
from ventralstream.models.convrnn_cifar import CIFAR_CHANNELS, shallow_small
from ventralstream.models.registry import count_parameters, register_model
from ventralstream.presentation import Constant
from ventralstream.published.about import Published, PublishedFile
from ventralstream.spec import Area, Connection, NetworkSpec
from ventralstream.values import Channels, Side, Within

Width = Annotated[float, Within(above=0, at_most=1000)]  # what channels are multiplied by
FEEDFORWARD_STEPS = 6  # as many as the six areas need in biological order


@dataclass(frozen=True)
class Match:
    """A network matched in parameters.

    Attributes:
        spec: The network.
        size: What its channels were multiplied by (a width), or how many blocks it has (a depth).
        parameters, target: What it came to, and what was wanted.
    """

    spec: NetworkSpec
    size: float
    parameters: int
    target: int

    @property
    def error(self) -> float:
        """How far off, relative to the target."""
        return self.parameters / self.target - 1


def match_width(make: Callable[[float], NetworkSpec], target: int, low: float = 0.1, high: float = 20.0) -> Match:
    """Finds the width multiplier whose parameter count comes nearest to `target`, by bisection.

    Args:
        make: Gives the spec for a width multiplier; its parameters must grow with it.
        target: The parameters wanted.
        low, high: Multipliers to look between.
    """
    tried = []
    for _ in range(24):
        width = (low + high) / 2
        spec = make(width)
        tried.append(Match(spec, width, count_parameters(spec), target))
        low, high = (width, high) if tried[-1].parameters < target else (low, width)
    return min(tried, key=lambda match: abs(match.error))


def match_depth(make: Callable[[int], NetworkSpec], target: int, most: int = 200) -> Match:
    """Finds the depth whose parameter count comes nearest to `target`.

    Args:
        make: Gives the spec for a depth of 1 or more; its parameters must grow with it.
        target: The parameters wanted.
        most: The largest depth to look at.
    """
    best = None
    for depth in range(1, most + 1):
        spec = make(depth)
        match = Match(spec, depth, count_parameters(spec), target)
        if best is None or abs(match.error) < abs(best.error):
            best = match
        if match.parameters >= target:
            break
    assert best is not None
    return best


def scaled(channels: tuple[int, ...], width: float) -> tuple[int, ...]:
    """Channels times a multiplier, at least 1 each."""
    return tuple(max(1, round(c * width)) for c in channels)


@register_model("feedforward")
def ff_shallow(num_classes: Channels = 1000, width: Width = 1.0) -> NetworkSpec:
    """Six areas without cells, ELU after each convolution (the feedforward control of Nayebi et al. 2018)."""
    spec = shallow({}, num_classes, scaled(SHALLOW_CHANNELS, width), activated=True, memory=None)
    return spec.replace(steps=FEEDFORWARD_STEPS, presentation=Constant())


@register_model("feedforward")
def ff_intermediate(num_classes: Channels = 1000, width: Width = 1.0) -> NetworkSpec:
    """Eleven areas of residual blocks without cells (the feedforward control of Nayebi et al. 2018)."""
    spec = intermediate({}, num_classes, scaled(INTERMEDIATE_CHANNELS, width), memory=None)
    return spec.replace(steps=len(spec.areas), presentation=Constant())


@register_model("feedforward")
def ff_deep(num_classes: Channels = 1000, depth: Side = 1, width: Width = 1.0) -> NetworkSpec:
    """The channels of rgc_intermediate, `depth` areas of one 3x3 convolution for each of its areas (our choice).

    Args:
        num_classes: Classes.
        depth: Areas in the place of each of conv2 to conv10; see `match_depth`.
        width: Multiplies the channels.
    """
    channels = scaled(RGC_CHANNELS, width)
    areas = [Area("conv1", (Conv(channels[0], 7, 2), Act("elu")), output=(Pool(),))]
    for i, count in enumerate(channels[1:], 2):
        for k in range(depth):
            pool = (Pool(),) if i in POOLED and k == depth - 1 else ()
            areas.append(Area(f"conv{i}_{k + 1}", (Conv(count), Act("elu")), output=pool))
    areas.append(Area("decoder", (GlobalPool(), Linear(num_classes))))
    return NetworkSpec(
        "ff_deep", tuple(areas), chain(areas), "decoder", steps=len(areas), presentation=Constant(), init="convrnn"
    )


@register_model("feedforward")
def ff_shallow_cifar(num_classes: Channels = 10, width: Width = 1.0) -> NetworkSpec:
    """Six areas without cells for 32-px images."""
    return shallow_small({}, num_classes, scaled(CIFAR_CHANNELS, width), steps=FEEDFORWARD_STEPS)


def _resnet(name: str, blocks: tuple[int, int, int, int], num_classes: Channels) -> NetworkSpec:
    """A ResNet of basic blocks, every block an area, run in a single step; the numbers are torchvision's."""

    def conv(width: int, kernel: int, stride: int) -> tuple[Conv, Norm]:
        return Conv(width, kernel, stride, padding=kernel // 2, bias=False), Norm("batch")

    areas = [Area("stem", (*conv(64, 7, 2), Act("relu"), Pool("max", 3, 2, 1)))]
    connections = [Connection("image", "stem", delay=0)]
    width = 64
    for stage, count in enumerate(blocks):
        for k in range(count):
            source, area = areas[-1].name, f"layer{stage + 1}_{k + 1}"
            wider = stage > 0 and k == 0
            width, stride = (2 * width, 2) if wider else (width, 1)
            areas.append(Area(area, output=(Act("relu"),), combine="add"))
            branch = (*conv(width, 3, stride), Act("relu"), *conv(width, 3, 1))
            shortcut = conv(width, 1, stride) if wider else ()
            connections.append(Connection(source, area, delay=0, layers=branch))
            connections.append(Connection(source, area, "skip", delay=0, layers=shortcut))
    connections.append(Connection(areas[-1].name, "decoder", delay=0))
    areas.append(Area("decoder", (GlobalPool(), Linear(num_classes))))
    return NetworkSpec(
        name, tuple(areas), tuple(connections), "decoder", steps=1, presentation=Constant(), init="he_out"
    )


def _published(name: str, top1: float, top5: float) -> Published:
    source = "He et al. 2015 (arXiv 1512.03385), torchvision's IMAGENET1K_V1"
    page = "https://docs.pytorch.org/vision/stable/models/resnet.html"
    file = PublishedFile(f"https://download.pytorch.org/models/{name}.pth", name.rpartition("-")[2])
    return Published(source, "BSD-3-Clause", page, "torchvision", (file,), top1, top5)


@register_model("feedforward", published=_published("resnet18-f37072fd", 69.758, 89.078))
def resnet18(num_classes: Channels = 1000) -> NetworkSpec:
    """ResNet-18, torchvision's, as a control."""
    return _resnet("resnet18", (2, 2, 2, 2), num_classes)


@register_model("feedforward", published=_published("resnet34-b627a593", 73.314, 91.42))
def resnet34(num_classes: Channels = 1000) -> NetworkSpec:
    """ResNet-34, torchvision's, as a control."""
    return _resnet("resnet34", (3, 4, 6, 3), num_classes)
