"""Networks of recurrent convolutional layers for 32-px images, after Liang & Hu 2015, and their feedforward controls.

An area's map is act(norm(W_f * input + W_r * its own map of the step before)), the input being that of the same step:
all areas recur at once, and an answer is there at every step. From the published network differ (our choice): each step
has a batch normalisation of its own, kernels start near the identity, the areas go on reading each other (in the
published one each layer runs its steps before the next begins), and the image enters through a first area without
recurrence, which a run may start as a whitening of patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ventralstream.layers.specs import Act, ActivationName, Conv, GlobalPool, Layer, Linear, Norm, Pool
from ventralstream.models.cifar import silent_network
from ventralstream.models.registry import register_model
from ventralstream.spec import Area, Connection, NetworkSpec
from ventralstream.values import Channels, Count, Side

AREAS = ("V2", "V4", "IT")
CHANNELS = (64, 128, 128)  # of V2, V4 and IT, on maps of 1/2, 1/4 and 1/8
FIRST_CHANNELS = 32  # the image's filters: enough for the 16 strongest components of its patches, and their negatives
STEPS = 3


def rcnn(
    channels: Sequence[int] = CHANNELS,
    num_classes: Channels = 10,
    steps: Count = STEPS,
    *,
    norms: Literal["time_specific", "shared"] = "time_specific",
    lateral: bool = True,
    depth: Side = 1,
    first_channels: Channels = FIRST_CHANNELS,
    activation: ActivationName = "gelu",
    name: str = "rcnn",
) -> NetworkSpec:
    """Three areas of recurrent convolutional layers behind a first area without recurrence.

    Args:
        channels: Of V2, V4 and IT; V1 has as many as V2.
        num_classes: Classes.
        steps: Steps that every area runs.
        norms: Whether each step has normalisations of its own.
        lateral: Whether the areas recur; without, the network is feedforward and one step is enough.
        depth: Convolutions of each area, one after another, without recurrence (2: a control with as many parameters
            as the recurrent network has).
        first_channels: Filters that read the image.
        activation: The non-linearity.
        name: The spec's name.
    """
    act = Act(activation)
    norm = Norm("batch", per_step=steps if norms == "time_specific" else 0)
    areas = [Area("V1", (Conv(first_channels), act, Conv(channels[0]), Pool(), act))]
    connections = [Connection("image", "V1", delay=0)]
    for area, width in zip(AREAS, channels, strict=True):
        source = areas[-1].name
        pool: tuple[Layer, ...] = (Pool(),) if area != AREAS[0] else ()
        layers = (*pool, Conv(width, bias=False)) + (norm, act, Conv(width, bias=False)) * (depth - 1)
        connections.append(Connection(source, area, delay=0, layers=layers))
        if lateral:
            connections.append(Connection(area, area, "lateral", layers=(Conv(width, bias=False),)))
        areas.append(Area(area, output=(norm, act), combine="add"))
    connections.append(Connection(areas[-1].name, "decoder", delay=0))
    areas.append(Area("decoder", (GlobalPool(), Linear(num_classes))))
    return silent_network(name, areas, connections, steps, "identity")


@register_model("rcnn")
def rcnn_cifar(
    num_classes: Channels = 10,
    steps: Count = STEPS,
    norms: Literal["time_specific", "shared"] = "time_specific",
) -> NetworkSpec:
    """Recurrent convolutional layers in V2, V4 and IT (0.61 M parameters; after Liang & Hu 2015).

    Args:
        num_classes: Classes.
        steps: Steps that every area runs.
        norms: Whether each step has normalisations of its own.
    """
    return rcnn(num_classes=num_classes, steps=steps, norms=norms)


@register_model("rcnn")
def rcnn_small_cifar(num_classes: Channels = 10, steps: Count = STEPS) -> NetworkSpec:
    """rcnn_cifar with half the channels (0.16 M parameters)."""
    return rcnn((32, 64, 64), num_classes, steps, first_channels=16)


@register_model("rcnn")
def ff_rcnn_wide_cifar(num_classes: Channels = 10) -> NetworkSpec:
    """rcnn_cifar without recurrence, its channels 1.5 times as many: a control with as many parameters to 1 %."""
    return rcnn((98, 190, 191), num_classes, 1, lateral=False)


@register_model("rcnn")
def ff_rcnn_deep_cifar(num_classes: Channels = 10) -> NetworkSpec:
    """rcnn_cifar with second convolutions in the place of the recurrent ones: a control with as many parameters."""
    return rcnn(num_classes=num_classes, steps=1, lateral=False, depth=2)
