"""A cell in a small network, and what that network is shown."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ventralstream.area import AreaModule
from ventralstream.cells.base import Cell
from ventralstream.errors import VentralError
from ventralstream.layers.specs import Act, Conv, GlobalPool, Linear
from ventralstream.network import Network
from ventralstream.output import NetworkState, Output
from ventralstream.presentation import Movie, Presentation
from ventralstream.readout import PerStep
from ventralstream.record import Record
from ventralstream.spec import Area, CellSpec, Connection, NetworkSpec
from ventralstream.testing.chance import same_draws, seed_all

BATCH = 3
AREAS = ("before", "cell", "after", "decoder")


class Broken(Exception):
    """What a cell does wrong, in a sentence whose subject is missing."""


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Turns whatever is raised inside into what the cell does wrong."""
    try:
        yield
    except Broken:
        raise
    except VentralError as error:
        raise Broken(str(error)) from error
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise Broken(f"{what} raises {type(error).__name__}: {lines[0]}") from error


def compare(found: Tensor, expected: Tensor, what: str) -> None:
    """Raises `what` if the numbers are not the same; see `close`."""
    if not close(found, expected):
        raise Broken(what)


def close(found: Tensor, expected: Tensor) -> bool:
    """Whether the numbers are the same to a third of their type's digits.

    More digits are lost where batch norms divide by the variance of images that are all the same.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if not (expected.is_floating_point() or expected.is_complex()) or expected.numel() == 0:
        return torch.equal(found, expected)
    digits = torch.finfo(expected.dtype).eps ** (1 / 3)
    largest = float(expected.detach().abs().nan_to_num().max())
    return torch.allclose(found, expected, rtol=digits, atol=digits * max(1.0, largest), equal_nan=True)


@dataclass
class Case:
    """A network with the cell in its area "cell", and what it is shown.

    Attributes:
        net: The network.
        steps: Steps to run.
        size: Height and width of the images.
        dtype: Their type.
    """

    net: Network
    steps: int
    size: tuple[int, int]
    dtype: torch.dtype

    @property
    def area(self) -> AreaModule:
        """The area with the cell."""
        area: AreaModule = self.net.areas["cell"]
        return area

    @property
    def cell(self) -> Cell:
        """The cell."""
        assert self.area.cell is not None
        return self.area.cell

    @property
    def where(self) -> str:
        """Where the cell stands, and in which mode."""
        return f"in a {'loop' if self.is_loop else 'chain'} in {self.mode} mode"

    @property
    def is_loop(self) -> bool:
        """Whether there is feedback into its area."""
        return any(c.kind == "feedback" for c in self.net.spec.connections)

    @property
    def mode(self) -> str:
        """The mode."""
        return "training" if self.net.training else "evaluation"

    @property
    def is_pure(self) -> bool:
        """Whether no stage has to do with chance, the batch or in-place operations in the present mode."""
        return all(t.pure for t in self.net.traits().values())

    def images(self, *extra: int, size: tuple[int, int] | None = None) -> Tensor:
        """Images, or with `extra` frames a movie."""
        generator = torch.Generator().manual_seed(1)
        return torch.randn(BATCH, *extra, 2, *(size or self.size), generator=generator, dtype=self.dtype)

    @contextmanager
    def twin(self) -> Iterator[Network]:
        """A copy of the network that draws the same random numbers as every other one."""
        net = copy.deepcopy(self.net)
        with same_draws(net, "cell"):
            yield net


def network(cell: CellSpec, channels: int, size: tuple[int, int], loop: bool) -> Network:
    """A chain of areas, or with feedback into the cell's area a loop."""
    areas = (
        Area("before", (Conv(3), Act("tanh"))),
        Area("cell", (Conv(channels, 3),), cell, (Act("tanh"),)),
        Area("after", (Conv(5), Act("tanh"))),
        Area("decoder", (GlobalPool(), Linear(2))),
    )
    connections = (
        Connection("image", "before", delay=0),
        Connection("before", "cell"),
        Connection("cell", "after"),
        Connection("after", "decoder", delay=0),
        *([Connection("after", "cell", "feedback")] if loop else []),
    )
    images: dict[str, Any] = {"input_shape": (2, *size), "mean": (0.4, 0.5), "std": (0.3, 0.2)}
    spec = NetworkSpec("check", areas, connections, "decoder", **images)
    return Network(spec if loop else spec.replace(before_start="silent"))


def vary(net: Network, dtype: torch.dtype) -> None:
    """Brings a network to that precision, and every parameter away from its special values."""
    wide = torch.complex128 if dtype == torch.float64 else torch.complex64

    def as_wide(t: Tensor) -> Tensor:
        return t.to(dtype if t.is_floating_point() else wide if t.is_complex() else t.dtype)

    net._apply(as_wide)  # type: ignore[no-untyped-call]
    seed_all(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn_like(p))


def unrolled(
    net: Network,
    x: Tensor,
    steps: int,
    presentation: Presentation | None = None,
    state: NetworkState | None = None,
    remat: bool = False,
) -> Output:
    """An unroll of which everything is wanted, so that nothing is skipped; a movie's if nothing else is said."""
    return net(
        x,
        steps,
        presentation=presentation or Movie(),
        record=Record(AREAS),
        readout=PerStep(0),
        state=state,
        return_state=True,
        remat=remat,
    )


def state_of(out: Output) -> NetworkState:
    """The state an unroll ended in."""
    assert out.state is not None
    return out.state


def gradients(net: Network, x: Tensor, values: list[Tensor]) -> dict[str, Tensor]:
    """The gradients of a weighted sum of values, by parameter; of the image too. Empty if nothing has one."""
    generator = torch.Generator().manual_seed(2)
    loss = torch.zeros((), dtype=x.dtype)
    for value in values:
        real = torch.view_as_real(value) if value.is_complex() else value
        weight = torch.randn(real.shape, generator=generator, dtype=torch.float64).to(real.dtype)
        loss = loss + (real * weight).sum()
    over = {"the image": x, **{n: p for n, p in net.named_parameters() if p.requires_grad}}
    if not loss.requires_grad:
        return {}
    found = torch.autograd.grad(loss, list(over.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(over.items(), found, strict=True)}
