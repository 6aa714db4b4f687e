"""The contract of a cell: `init_state`, `drive`, `update`.

What needs no state belongs in `drive`: the planner computes it once for an input that does not change, and for many
steps in one call. `update` is one step of the recurrence. Nothing is stored on the cell between calls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ventralstream.errors import VentralError
from ventralstream.layers import shortcuts
from ventralstream.layers.specs import Shape

State = tuple[Tensor, ...]
Drive = tuple[Tensor, ...]
CellStage = Literal["drive", "feedback", "update"]
STAGES: tuple[CellStage, ...] = ("drive", "feedback", "update")


class Cell(nn.Module):
    """Base of the cells. A cell's call is its `update`, so that a hook on it sees each step.

    Attributes:
        needs_raw: Whether `drive` also wants the area's input as it was before the drive's layers.
        feedback_entry: Which of `drive` and `update` receives what `feedback` made; "none" if there is no such path.
        distinct_steps: How many of the first active steps differ in their parameters or operations; 1 if none do.
        takes_no_state: Whether `update` and `emit` take None for the zero state, and then do less work. It is what they
            get in the first step; other cells get the zeros of `init_state`.
        last_step: The last active step the cell may be run at; None if it can go on for ever.
        pure: The stages ("drive", "feedback", "update") whose results for an image follow from that image's arguments
            alone, and that overwrite none of them; `update` stands for `emit` too. The planner may merge, stack and
            share these. It says so of the class's own code and in both modes: submodules are looked at one by one, and
            those that are not pure in their present mode (dropout, batch statistics) make the stage so. What is not in
            it gets copies of its arguments, and is called at every step for the whole batch. None says nothing: then no
            stage counts as pure in training mode, and in evaluation mode each is tried. A subclass has to say it anew.
    """

    needs_raw: bool = False
    feedback_entry: Literal["none", "drive", "update"] = "none"
    distinct_steps: int = 1
    takes_no_state: bool = False
    last_step: int | None = None
    pure: Collection[str] | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "forward" in vars(cls):
            raise VentralError(
                f"the cell {cls.__name__} has a forward of its own; a cell's call is its update: use that"
            )

    def forward(self, drive: Drive, state: State, step: int, **feedback: Tensor | None) -> tuple[Tensor, State]:
        """`update`."""
        return self.update(drive, state, step, **feedback)  # type: ignore[arg-type]

    def modules_of(self, stage: CellStage) -> Iterable[nn.Module]:
        """The submodules that a stage may call: all, unless a cell knows better."""
        return self.children()

    def forgets(self) -> bool:
        """Whether, with its present parameters, the cell's output does not depend on its state; it then gets the first
        step's. The default is that it does depend."""
        return False

    def start(self) -> None:
        """Sets what starts otherwise than the network's `init` says (biases of gates); the default changes nothing."""

    def state_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """Shapes of the state's parts without the batch, when the drive's layers give `shape`."""
        raise NotImplementedError

    def init_state(self, batch: int, shape: Shape, like: Tensor) -> State:
        """The state before the first step: zeros, of the device and type of `like`."""
        return tuple(channels_last(like.new_zeros(batch, *part)) for part in self.state_shapes(shape))

    def drive(self, x: Tensor) -> Drive:
        """What the input alone determines; x [B, C, H, W] comes from the area's drive layers.

        A cell with `needs_raw` also takes `raw`, one whose `feedback_entry` is "drive" also `feedback`.
        """
        return (x,)

    def feedback(self, x: Tensor) -> Tensor:
        """The feedback's own path; x holds the feedback tensors, resized and concatenated."""
        raise NotImplementedError

    def update(self, drive: Drive, state: State, step: int) -> tuple[Tensor, State]:
        """One step: (output, new state). `step` counts the area's active steps from 0.

        The batch of a drive or a state may be 1 where it depends on no image: operations must broadcast.
        A cell whose `feedback_entry` is "update" also takes `feedback` (None if nothing arrives).
        """
        raise NotImplementedError

    def emit(self, drive: Drive, state: State, step: int, feedback: Tensor | None = None) -> Tensor:
        """The output of a step whose new state nobody reads: what `update` gives, with less work where possible."""
        if self.feedback_entry == "update":
            return self.update(drive, state, step, feedback=feedback)[0]  # type: ignore[call-arg]
        return self.update(drive, state, step)[0]


def channels_last(x: Tensor) -> Tensor:
    """The same values with the channels last in memory, where pooling is several times as fast; vectors stay."""
    if x.dim() != 4 or shortcuts.functional():  # where vmap is on, x has an axis more than it shows
        return x
    return x.to(memory_format=torch.channels_last)


def mix(gate: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """gate * old + (1 - gate) * new (torch.lerp would do, if it took mixed precisions)."""
    return torch.addcmul(new, gate, old - new)
