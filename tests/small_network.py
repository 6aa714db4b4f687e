"""A small recurrent network with what is hard to carry on exactly after an interruption: batch statistics, dropout."""

from __future__ import annotations

from ventralstream.cells import GRU
from ventralstream.layers.specs import Act, Conv, Dropout, GlobalPool, Linear, Norm
from ventralstream.models.convrnn import chain
from ventralstream.spec import Area, NetworkSpec


def small_network() -> NetworkSpec:
    """Three areas, ten classes; grey images drive the logits from step 2 of 5 on."""
    areas = (
        Area("v1", (Conv(4, 3, 2), Norm("batch"), Act("relu"))),
        Area("it", (Conv(6, 3, 2), Dropout(0.3)), GRU()),
        Area("decoder", (GlobalPool(), Linear(10))),
    )
    return NetworkSpec("small", areas, chain(areas), "decoder", (1, 32, 32), 5, mean=(0.5,), std=(0.5,))
