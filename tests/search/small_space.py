"""A space of small networks for 16-px images of 'scenes', as a user would write it."""

from __future__ import annotations

import ventralstream as vs
from ventralstream.cells import GRU
from ventralstream.layers.specs import Act, Conv, GlobalPool, Linear, Pool
from ventralstream.search import Number, OneOf, Whole, search_space
from ventralstream.spec import NetworkSpec


@search_space(
    width=Whole(4, 16, log=True),
    kernel=OneOf((1, 3)),
    cell=OneOf((False, True)),
    recipe={"optimizer.lr": Number(0.01, 0.2, log=True)},
    known={"wide": {"width": 16, "kernel": 3, "cell": True, "recipe.optimizer.lr": 0.05}},
)
def small(width: int, kernel: int, cell: bool) -> NetworkSpec:
    areas = (
        vs.Area("conv", (Conv(width, kernel), Act("relu")), GRU() if cell else None, (Pool(),)),
        vs.Area("decoder", (GlobalPool(), Linear(CLASSES))),
    )
    connections = (vs.Connection("image", "conv", delay=0), vs.Connection("conv", "decoder"))
    return NetworkSpec(
        "small", areas, connections, "decoder", input_shape=(1, 16, 16), steps=3, mean=(0.5,), std=(0.5,)
    )


CLASSES = 10
