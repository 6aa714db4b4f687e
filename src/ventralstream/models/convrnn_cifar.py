"""The shallow ConvRNNs for small images (our choice of sizes): what a machine of two cores trains at a useful pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from ventralstream.cells import GRU, Decay, Reciprocal
from ventralstream.layers.specs import Act, Conv, GlobalPool, Layer, Linear, Norm, Pool
from ventralstream.models.cifar import CIFAR_MEAN, CIFAR_STD
from ventralstream.models.convrnn import CELL_AREAS, chain, everywhere, minimal
from ventralstream.models.registry import register_model
from ventralstream.presentation import Constant
from ventralstream.spec import Area, CellSpec, NetworkSpec
from ventralstream.values import Channels, Count

CIFAR_CHANNELS = (32, 64, 64, 128, 128)
CIFAR_STEPS = 10  # 5 steps of recurrence after the first logits
DECODER_START = 5  # the step at which the image reaches the decoder
Norms = Literal["none", "shared", "time_specific"]


def shallow_small(
    cells: Mapping[str, CellSpec],
    num_classes: Channels = 10,
    channels: Sequence[int] = CIFAR_CHANNELS,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    steps: Count = CIFAR_STEPS,
    activated: bool = True,
    norms: Norms = "none",
) -> NetworkSpec:
    """The shallow graph for small images: 3x3 kernels, cells on maps of 1/4, 1/8 and 1/16, a linear decoder.

    Unlike the 224-px networks it keeps its image on, and all its convolutions are activated.

    Args:
        cells: Cells by area.
        num_classes: Classes.
        channels: Of conv1 to conv5.
        input_shape: Of the images.
        steps: Steps to run.
        activated: Whether the convolutions of conv3 to conv5 end in an ELU.
        norms: Batch normalisation after the convolutions of conv3 to conv5, the same at all steps or one for each;
            the areas then begin when something reaches them. The cells stay what they are, and conv1 and conv2 have
            none: their values are computed once for all steps, which batch statistics would not allow in training.
    """
    act: tuple[Layer, ...] = (Act("elu"),)
    areas = [
        Area("conv1", (Conv(channels[0]), *act), output=(Pool(),)),
        Area("conv2", (Conv(channels[1]), *act), output=(Pool(),)),
    ]
    for start, (name, width) in enumerate(zip(CELL_AREAS, channels[2:], strict=True), 2):
        # a step of any of them takes as long to reach the decoder as the image took to reach conv3
        per_step = max(1, steps - DECODER_START) if norms == "time_specific" else 0
        normalised: tuple[Layer, ...] = () if norms == "none" else (Norm("batch", per_step=per_step),)
        drive = (Conv(width), *normalised, *(act if activated else ()))
        areas.append(Area(name, drive, cells.get(name), (Pool(),), window=(start, None) if normalised else None))
    areas.append(
        Area("decoder", (GlobalPool(), Linear(num_classes)), window=None if norms == "none" else (DECODER_START, None))
    )
    grey = input_shape[0] == 1
    return NetworkSpec(
        "shallow_small",
        tuple(areas),
        chain(areas),
        "decoder",
        input_shape=input_shape,
        steps=steps,
        presentation=Constant(),
        init="convrnn",
        mean=(0.5,) if grey else CIFAR_MEAN,
        std=(0.5,) if grey else CIFAR_STD,
    )


@register_model("convrnn")
def rgc_shallow_cifar(num_classes: Channels = 10, steps: Count = CIFAR_STEPS) -> NetworkSpec:
    """The shallow Reciprocal Gated network for 32-px images (our choice of sizes)."""
    return shallow_small(everywhere(Reciprocal()), num_classes, steps=steps)


@register_model("convrnn")
def rgc_shallow_cifar_minimal(num_classes: Channels = 10) -> NetworkSpec:
    """rgc_shallow_cifar for the fewest steps that use every recurrent path."""
    return minimal(rgc_shallow_cifar(num_classes))


@register_model("convrnn")
def timedecay_shallow_cifar(num_classes: Channels = 10, steps: Count = CIFAR_STEPS) -> NetworkSpec:
    """The shallow time-decay network for 32-px images (our choice of sizes)."""
    return shallow_small(everywhere(Decay()), num_classes, steps=steps)


@register_model("convrnn")
def gru_shallow_cifar(num_classes: Channels = 10, steps: Count = CIFAR_STEPS) -> NetworkSpec:
    """The shallow GRU network for 32-px images (our choice of sizes)."""
    return shallow_small(everywhere(GRU()), num_classes, steps=steps)
