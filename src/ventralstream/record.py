"""What to record of an unroll."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ventralstream.arguments import misfit
from ventralstream.errors import VentralError, unknown
from ventralstream.spec import NetworkSpec
from ventralstream.values import fit

if TYPE_CHECKING:
    from torch import Tensor

Reduce = Literal["none", "mean", "max", "flatten"]
Of = Literal["output", "state"]
REDUCTIONS: tuple[Reduce, ...] = ("none", "mean", "max", "flatten")


@dataclass(frozen=True)
class Record:
    """Asks for activations of areas at steps, reduced as soon as each is computed.

    Whole outputs ("none" or "flatten") that are recorded while gradients are enabled lie on the way to the logits:
    `torch.autograd.grad(out.output[:, k].sum(), out["IT"].values)` gives every step's own gradient, its effects through
    later steps included, as Grad-CAM needs it. Steps that could share their computation are then computed each for
    itself; where no gradients are needed, record under `torch.no_grad()`: it is faster and smaller.

    Attributes:
        areas: Names of areas.
        steps: Steps to keep, counted from the network's first; None is every step run at which the area exists.
        reduce: "none" keeps the map [C, H, W], "mean" and "max" reduce over space to [C], "flatten" gives [C*H*W].
        of: "output" is what other areas read; "state" the cell's state, its parts concatenated over channels.
    """

    areas: tuple[str, ...]
    steps: tuple[int, ...] | None = None
    reduce: Reduce = "none"
    of: Of = "output"

    def __init__(
        self,
        areas: Iterable[str] | str,
        steps: Iterable[int] | int | None = None,
        reduce: Reduce = "none",
        of: Of = "output",
    ) -> None:
        set_ = object.__setattr__  # the class is frozen; this is its constructor
        set_(self, "areas", names := _names(areas))
        set_(self, "steps", _steps(steps))
        set_(self, "reduce", reduce)
        set_(self, "of", of)
        if not names:
            raise VentralError("a record needs at least one area")
        for name in names:
            if names.count(name) > 1:
                raise VentralError(f"the record names area '{name}' twice")
        if self.steps == ():
            raise VentralError("a record needs at least one step; steps=None keeps every step")
        if reduce not in REDUCTIONS:
            raise unknown("reduce", reduce, REDUCTIONS)
        if of not in ("output", "state"):
            raise unknown("of", of, ("output", "state"))

    @property
    def is_on_path(self) -> bool:
        """Whether the gradient of the logits with respect to what is recorded can be taken."""
        return self.of == "output" and self.reduce in ("none", "flatten")

    def resolve(self, spec: NetworkSpec, start: int, stop: int) -> dict[str, tuple[int, ...]]:
        """The steps to keep of each area in an unroll of steps start..stop-1.

        Raises:
            VentralError: for an unknown area, a step that is not run, or an area that does not exist at a step.
        """
        wanted = {}
        for name in self.areas:
            area = spec.area(name)
            if self.of == "state" and area.cell is None:
                raise VentralError(f"area '{name}' has no cell, so it has no state to record")
            there = area.active if self.of == "state" else area.exists
            if self.steps is None:
                wanted[name] = tuple(t for t in range(start, stop) if there(t))
                if not wanted[name]:
                    raise VentralError(f"area '{name}' has nothing to record in steps {start} to {stop - 1}")
                continue
            for step in self.steps:
                if not start <= step < stop:
                    raise VentralError(
                        f"the record asks for step {step}, which does not exist; steps {start} to {stop - 1} are run"
                    )
                if not there(step):
                    raise VentralError(
                        f"the record asks for step {step} of area '{name}', which exists from step {area.start}"
                    )
            wanted[name] = self.steps
        return wanted


def reduce_map(value: Tensor, how: Reduce) -> Tensor:
    """Reduces [B, C, H, W] as `Record.reduce` says; vectors [B, C] stay as they are."""
    if value.dim() == 2 or how == "none":
        return value
    if how == "mean":
        return value.mean((2, 3))
    if how == "max":
        return value.amax((2, 3))
    return value.flatten(1)


def _names(areas: Iterable[str] | str) -> tuple[str, ...]:
    names = (areas,) if isinstance(areas, str) else tuple(areas) if isinstance(areas, Iterable) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise misfit("a record's areas", areas, "names of areas, such as ['V1', 'IT']")
    return tuple(map(str, names))


def _steps(steps: Iterable[int] | int | None) -> tuple[int, ...] | None:
    if steps is None:
        return None
    plain = steps.tolist() if hasattr(steps, "tolist") else steps  # arrays and tensors
    each = plain if isinstance(plain, Iterable) and not isinstance(plain, str) else (plain,)
    return tuple(fit(step, int, "a record's step") for step in each)
