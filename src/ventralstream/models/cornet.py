"""CORnet-Z, -R, -RT and -S (Kubilius, Schrimpf et al. 2019; docs/papers.md B.1)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

from ventralstream.cells import CORnetR, CORnetS
from ventralstream.errors import VentralError
from ventralstream.layers.specs import Act, Conv, GlobalPool, Layer, Linear, Norm, Pool
from ventralstream.models.registry import register_model
from ventralstream.published.about import Published, PublishedFile
from ventralstream.spec import Area, Connection, NetworkSpec
from ventralstream.values import Channels, Count, Side

AREAS = ("V1", "V2", "V4", "IT")
CHANNELS = (64, 128, 256, 512)
RECURRENT_STEPS = 5

_SOURCE = "Kubilius, Schrimpf et al. 2019 (arXiv 1909.06161), dicarlolab/CORnet"
_PAGE = "https://github.com/dicarlolab/CORnet"
_SITES = {area: area for area in AREAS}


def _published(letter: str = "", sha256: str = "", top1: float | None = None) -> Published:
    """Of CORnet-R its authors publish no file; those of the others bear the first digits of their SHA-256."""
    file = PublishedFile(f"https://s3.amazonaws.com/cornet-models/cornet_{letter}-{sha256}.pth", sha256)
    return Published(_SOURCE, "GPL-3.0", _PAGE, "cornet", (file,) if letter else (), top1, sites=_SITES)


def _decoder(num_classes: Channels, start: int = 0) -> Area:
    window = (start, None) if start else None
    return Area("decoder", output=(GlobalPool(), Linear(num_classes)), window=window)


def _chain(
    delay: int, areas: Sequence[str] = AREAS, arrives: tuple[int, int | None] = (0, None)
) -> tuple[Connection, ...]:
    between = itertools.pairwise(areas)
    return (
        Connection("image", "V1", delay=0),
        *(Connection(s, t, delay=delay, arrives=arrives) for s, t in between),
        Connection("IT", "decoder", delay=0),
    )


@register_model("cornet", published=_published("z", "5c427c9c"))
def cornet_z(num_classes: Channels = 1000) -> NetworkSpec:
    """CORnet-Z: four areas, feedforward (2.07 M parameters)."""
    areas = tuple(
        Area(name, (Conv(width, k, s, padding=k // 2), Act("relu")), output=(Pool("max", 3, 2, 1),))
        for name, width, k, s in zip(AREAS, CHANNELS, (7, 3, 3, 3), (2, 1, 1, 1), strict=True)
    )
    return NetworkSpec(
        "cornet_z",
        (*areas, _decoder(num_classes)),
        _chain(0),
        "decoder",
        steps=1,
        before_start="silent",
        init="xavier",
    )


def _recurrent(name: str, num_classes: Channels, steps: Count, connections: tuple[Connection, ...]) -> NetworkSpec:
    areas = tuple(
        Area(area, (Conv(width, k, s, padding=k // 2), Norm("group"), Act("relu")), CORnetR())
        for area, width, k, s in zip(AREAS, CHANNELS, (7, 3, 3, 3), (4, 2, 2, 2), strict=True)
    )
    return NetworkSpec(
        name, (*areas, _decoder(num_classes)), connections, "decoder", steps=steps, before_start="silent"
    )


@register_model("cornet", published=_published())
def cornet_r(num_classes: Channels = 1000, steps: Count = RECURRENT_STEPS) -> NetworkSpec:
    """CORnet-R: recurrent areas, each reading its predecessor of the same step (5.21 M parameters)."""
    return _recurrent("cornet_r", num_classes, steps, _chain(0, arrives=(1, None)))


@register_model("cornet", published=_published("rt", "933c001c"))
def cornet_rt(num_classes: Channels = 1000, steps: Count = RECURRENT_STEPS) -> NetworkSpec:
    """CORnet-RT: as CORnet-R in biological order, each area reading the step before (5.21 M parameters)."""
    return _recurrent("cornet_rt", num_classes, steps, _chain(1))


@register_model("cornet", published=_published("s", "1d3f7974", 73.1))
def cornet_s(
    num_classes: Channels = 1000,
    times: tuple[Count, ...] = (2, 4, 2),
    scale: Side = 4,
    norm: Literal["batch", "group"] = "batch",
    skip: bool = True,
    first_conv: bool = True,
    loop_to: Literal[1, 2] = 1,
    gate: Literal["hard", "soft"] = "hard",
) -> NetworkSpec:
    """CORnet-S: areas one after another, each for its own steps, one normalisation per step (53.4 M parameters).

    Args:
        num_classes: Classes.
        times: Steps of V2, V4 and IT; four numbers make five areas, with pIT, as wide as IT and with maps of V4's
            size, between V4 and IT (our choice). V1 takes one step; the logits exist from IT's first step on.
        scale, skip, first_conv, loop_to, gate: Circuit variants; see `ventralstream.cells.CORnetS`.
        norm: Kind of all normalisations.
    """
    if len(times) not in (3, 4):
        raise VentralError(f"cornet_s needs the steps of V2, V4 and IT, or of V2, V4, pIT and IT; got {times}")
    names = AREAS if len(times) == 3 else ("V1", "V2", "V4", "pIT", "IT")
    widths = CHANNELS[1:] if len(times) == 3 else (128, 256, 512, 512)
    stem = (
        Conv(64, 7, 2, padding=3, bias=False),
        Norm(norm),
        Act("relu"),
        Pool("max", 3, 2, 1),
        Conv(64, 3, padding=1, bias=False),
        Norm(norm),
        Act("relu"),
    )
    cells = [
        CORnetS(
            count,
            scale,
            stride=1 if name == "pIT" else 2,
            norm=norm,
            skip=skip,
            first_conv=first_conv,
            loop_to=loop_to,
            gate=gate,
        )
        for name, count in zip(names[1:], times, strict=True)
    ]
    return circuit("cornet_s", names, stem, widths, cells, num_classes)


def circuit(
    name: str,
    names: Sequence[str],
    stem: tuple[Layer, ...],
    widths: Sequence[int],
    cells: Sequence[CORnetS],
    num_classes: Channels,
) -> NetworkSpec:
    """Areas of CORnet-S one after another, each for as many steps as its cell has times.

    Args:
        name: The spec's name.
        names: The areas, V1 first.
        stem: V1's layers.
        widths: Channels of the areas after V1.
        cells: Their cells.
        num_classes: Classes.
    """
    areas = [Area(names[0], stem, window=(0, 1))]
    start = 1
    for area, width, cell in zip(names[1:], widths, cells, strict=True):
        drive = (Conv(width, 1, padding=0, bias=False),)
        areas.append(Area(area, drive, cell, window=(start, start + cell.times)))
        start += cell.times
    once = (0, 1 if cells[0].gate == "hard" else None)
    return NetworkSpec(
        name,
        (*areas, _decoder(num_classes, start - cells[-1].times)),
        _chain(1, names, arrives=once),
        "decoder",
        steps=start,
        before_start="silent",
        init="cornet_s",
    )
