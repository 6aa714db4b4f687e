"""The demo's network in time: an explorer page of some of its test scenes."""

from __future__ import annotations

import torch

from ventralstream.data.pixels import normalise
from ventralstream.data.scenes import MEAN, STD
from ventralstream.demo.experiment import CLUTTER, RECURRENT, Run
from ventralstream.explore.page import page
from ventralstream.explore.trace import trace

EACH = 2  # scenes of each level of clutter


def explorer_page(run: Run) -> str:
    """The page: the recurrent network on the first scenes of each level of clutter."""
    pixels, names, truths = [], [], []
    for level, scenes in zip(CLUTTER, run.scenes, strict=True):
        for i in range(EACH):
            digit = str(int(scenes.labels[i]))
            pixels.append(scenes.images[i])
            truths.append(digit)
            names.append(f"{digit}, clutter {level}")
    made = trace(
        run.networks[RECURRENT],
        normalise(torch.stack(pixels), (MEAN,), (STD,)),
        name="the demo's recurrent network",
        weights="trained by ventral demo",
        names=names,
        truths=truths,
        class_names=[str(k) for k in range(10)],
    )
    return page([made])
