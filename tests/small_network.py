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


def without_chance(norm: bool = True) -> NetworkSpec:
    """The same without dropout, for images of 16 pixels, with a normalisation for each of three steps or with none."""
    v1, it, decoder = small_network().areas
    conv, batch_norm, relu = v1.drive
    drive = (conv, batch_norm.replace(per_step=3), relu) if norm else (conv, relu)
    areas = (v1.replace(drive=drive), it.replace(drive=it.drive[:1]), decoder)
    return small_network().replace(areas=areas, input_shape=(1, 16, 16))
