"""The shallow ConvRNNs of paper A (papers.md A.2-A.4): five convolutional areas and a decoder, biological order.

Cells stand in conv3, conv4 and conv5. Every connection takes one step of 10 ms.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from ventralstream.cells import GRU, LSTM, UGRNN, Decay, IntersectionRNN, Reciprocal, SimpleRNN
from ventralstream.layers.specs import Act, Conv, GlobalPool, Layer, Linear, Pool
from ventralstream.models.registry import register_model
from ventralstream.presentation import Constant, Flash
from ventralstream.spec import Area, CellSpec, Connection, NetworkSpec
from ventralstream.timing import minimal_steps

CELL_AREAS = ("conv3", "conv4", "conv5")
DEFAULT_STEPS = 16
CIFAR_CHANNELS = (32, 64, 64, 128, 128)  # our choice: what two cores train at a useful pace
CIFAR_STEPS = 10  # our choice: 5 steps of recurrence after the first logits
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def chain(areas: Sequence[Area], delay: int = 1) -> tuple[Connection, ...]:
    """Feedforward connections from the image through all areas; the image itself is seen without delay."""
    names = [a.name for a in areas]
    first = Connection("image", names[0], delay=0)
    return (first, *(Connection(s, t, delay=delay) for s, t in itertools.pairwise(names)))


def shallow(
    cells: Mapping[str, CellSpec],
    num_classes: int = 1000,
    channels: Sequence[int] = (64, 128, 256, 256, 512),
    activated: bool = False,
) -> NetworkSpec:
    """The 224-px network of six areas.

    Args:
        cells: Cells by area.
        num_classes: Classes.
        channels: Of conv1 to conv5.
        activated: Whether the convolutions of conv3 to conv5 end in an ELU (in the published networks only those
            with a Reciprocal Gated Cell do).
    """
    act = (Act("elu"),) if activated else ()
    areas = [
        Area("conv1", (Conv(channels[0], 7, 2), Act("elu")), output=(Pool(),)),
        Area("conv2", (Conv(channels[1]), Act("elu")), output=(Pool(),)),
        *(
            Area(name, (Conv(width), *act), cells.get(name), (Pool(),))
            for name, width in zip(CELL_AREAS, channels[2:], strict=True)
        ),
        Area("decoder", (Conv(num_classes, 2, padding="valid"),), output=(GlobalPool(),)),
    ]
    return NetworkSpec(
        "shallow",
        tuple(areas),
        chain(areas),
        "decoder",
        steps=DEFAULT_STEPS,
        presentation=Flash(on=12),
        init="convrnn",
    )


def shallow_small(
    cells: Mapping[str, CellSpec],
    num_classes: int = 10,
    channels: Sequence[int] = CIFAR_CHANNELS,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    steps: int = CIFAR_STEPS,
    activated: bool = True,
) -> NetworkSpec:
    """The same graph for small images (our choice): 3x3 kernels, cells on maps of 1/4, 1/8 and 1/16, a linear decoder.

    Unlike the 224-px networks it keeps its image on, and all its convolutions are activated.
    """
    act: tuple[Layer, ...] = (Act("elu"),)
    areas = [
        Area("conv1", (Conv(channels[0]), *act), output=(Pool(),)),
        Area("conv2", (Conv(channels[1]), *act), output=(Pool(),)),
        *(
            Area(name, (Conv(width), *(act if activated else ())), cells.get(name), (Pool(),))
            for name, width in zip(CELL_AREAS, channels[2:], strict=True)
        ),
        Area("decoder", (GlobalPool(), Linear(num_classes))),
    ]
    gray = input_shape[0] == 1
    return NetworkSpec(
        "shallow_small",
        tuple(areas),
        chain(areas),
        "decoder",
        input_shape=input_shape,
        steps=steps,
        presentation=Constant(),
        init="convrnn",
        mean=(0.5,) if gray else CIFAR_MEAN,
        std=(0.5,) if gray else CIFAR_STD,
    )


def everywhere(cell: CellSpec) -> dict[str, CellSpec]:
    """The same cell in conv3, conv4 and conv5."""
    return dict.fromkeys(CELL_AREAS, cell)


def minimal(spec: NetworkSpec) -> NetworkSpec:
    """The minimal-unroll control: the same network for as few steps as use every recurrent path (paper A)."""
    return spec.replace(steps=minimal_steps(spec))


@register_model("convrnn")
def timedecay_shallow(num_classes: int = 1000) -> NetworkSpec:
    """Six areas, time decay (paper A; 4.20 M parameters)."""
    return shallow(everywhere(Decay()), num_classes)


@register_model("convrnn")
def simplernn_shallow(num_classes: int = 1000) -> NetworkSpec:
    """Six areas, simple RNN with layer normalisation (paper A; 6.27 M parameters)."""
    widths = (128, 256, 256)
    cells = {a: SimpleRNN(channels=w, layer_norm=True) for a, w in zip(CELL_AREAS, widths, strict=True)}
    return shallow(cells, num_classes)


@register_model("convrnn")
def gru_shallow(num_classes: int = 1000) -> NetworkSpec:
    """Six areas, GRU (paper A; 25.43 M parameters)."""
    return shallow(everywhere(GRU()), num_classes)


@register_model("convrnn")
def lstm_shallow(num_classes: int = 1000) -> NetworkSpec:
    """Six areas, LSTM with searched kernels, peepholes in conv4 and layer norm (paper A; 21.13 M parameters)."""
    cells = {
        "conv3": LSTM(128, 2, 1.3561755203084322, layer_norm=True),
        "conv4": LSTM(256, 3, 0.977962918535079, peepholes=True, layer_norm=True),
        "conv5": LSTM(256, 4, 0.9249280259963113, layer_norm=True),
    }
    return shallow(cells, num_classes)


@register_model("convrnn")
def ugrnn_shallow(num_classes: int = 1000) -> NetworkSpec:
    """Six areas, update-gate RNN (paper A; 18.36 M parameters)."""
    return shallow(everywhere(UGRNN()), num_classes)


@register_model("convrnn")
def intersectionrnn_shallow(num_classes: int = 1000) -> NetworkSpec:
    """Six areas, intersection RNN (paper A; 32.51 M parameters)."""
    return shallow(everywhere(IntersectionRNN()), num_classes)


@register_model("convrnn")
def rgc_shallow(num_classes: int = 1000) -> NetworkSpec:
    """Six areas, Reciprocal Gated Cell (paper A; 23.96 M parameters)."""
    return shallow(everywhere(Reciprocal()), num_classes, activated=True)


@register_model("convrnn")
def rgc_shallow_minimal(num_classes: int = 1000) -> NetworkSpec:
    """rgc_shallow for the fewest steps that use every recurrent path (paper A's minimal-unroll control)."""
    return minimal(rgc_shallow(num_classes))


@register_model("convrnn")
def rgc_shallow_cifar(num_classes: int = 10, steps: int = CIFAR_STEPS) -> NetworkSpec:
    """The shallow Reciprocal Gated network for 32-px images (our choice of sizes)."""
    return shallow_small(everywhere(Reciprocal()), num_classes, steps=steps)


@register_model("convrnn")
def rgc_shallow_cifar_minimal(num_classes: int = 10) -> NetworkSpec:
    """rgc_shallow_cifar for the fewest steps that use every recurrent path."""
    return minimal(rgc_shallow_cifar(num_classes))


@register_model("convrnn")
def timedecay_shallow_cifar(num_classes: int = 10, steps: int = CIFAR_STEPS) -> NetworkSpec:
    """The shallow time-decay network for 32-px images (our choice of sizes)."""
    return shallow_small(everywhere(Decay()), num_classes, steps=steps)


@register_model("convrnn")
def gru_shallow_cifar(num_classes: int = 10, steps: int = CIFAR_STEPS) -> NetworkSpec:
    """The shallow GRU network for 32-px images (our choice of sizes)."""
    return shallow_small(everywhere(GRU()), num_classes, steps=steps)
