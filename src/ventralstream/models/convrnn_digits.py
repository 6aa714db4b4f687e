"""A small ConvRNN with feedback for grey digits in clutter (our choice of sizes): the example that the explorer opens.

It is small enough to be trained in minutes and to come with the package, and it has what there is to be seen in time:
connections that take a step each, local recurrence, feedback, and an image that goes off while the network still
answers.
"""

from __future__ import annotations

from ventralstream.cells import Reciprocal
from ventralstream.data.scenes import MEAN, STD
from ventralstream.layers.specs import Act, Conv, GlobalPool, Linear, Pool
from ventralstream.models.convrnn import chain
from ventralstream.models.registry import register_model
from ventralstream.presentation import Flash
from ventralstream.readout import PerStep
from ventralstream.spec import Area, Connection, NetworkSpec
from ventralstream.values import Channels, Count

FIRST_CHANNELS, CHANNELS = (12, 16), 24  # of conv1 and conv2; of the areas with cells
STEPS, IMAGE_ON = 16, 8


@register_model("convrnn")
def rgc_digits(num_classes: Channels = 10, steps: Count = STEPS) -> NetworkSpec:
    """Reciprocal Gated Cells and feedback from conv5 to conv3, for digits in clutter that are shown for 80 ms."""
    act = Act("elu")
    areas = (
        *(Area(f"conv{i}", (Conv(width), act), output=(Pool(),)) for i, width in enumerate(FIRST_CHANNELS, 1)),
        Area("conv3", (Conv(CHANNELS), act), Reciprocal()),
        Area("conv4", (Conv(CHANNELS), act), Reciprocal(), (Pool(),)),
        Area("conv5", (Conv(CHANNELS), act), Reciprocal()),
        Area("decoder", (GlobalPool(), Linear(num_classes))),
    )
    return NetworkSpec(
        "rgc_digits",
        areas,
        (*chain(areas), Connection("conv5", "conv3", "feedback")),
        "decoder",
        input_shape=(1, 32, 32),
        steps=steps,
        presentation=Flash(on=IMAGE_ON, blank=0.0),
        readout=PerStep(),
        init="convrnn",
        mean=(MEAN,),
        std=(STD,),
    )
