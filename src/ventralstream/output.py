"""What an unroll gives: its output, its decision, and the state that the next one carries on from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ventralstream.errors import VentralError, unknown
from ventralstream.record import Recording


@dataclass(frozen=True)
class NetworkState:
    """What a network carries from one unroll to the next.

    Attributes:
        step: Steps run so far.
        outputs: Per source (an area or "image"), its last outputs, the newest first; None where there was none.
        cells: Per area with a cell, the cell's state.
    """

    step: int
    outputs: dict[str, tuple[Tensor | None, ...]]
    cells: dict[str, tuple[Tensor, ...]]

    def detach(self) -> NetworkState:
        """The same state, cut off from the graph of gradients (truncated backpropagation through time)."""
        return self.map(lambda x: x.detach())

    def map(self, f: Callable[[Tensor], Tensor]) -> NetworkState:
        """The state with f applied to every tensor."""
        outputs = {k: tuple(None if x is None else f(x) for x in v) for k, v in self.outputs.items()}
        return NetworkState(self.step, outputs, {k: tuple(map(f, v)) for k, v in self.cells.items()})


@dataclass(frozen=True)
class Output:
    """What an unroll gives. `out["conv3"]` is what was recorded of an area.

    Attributes:
        output: [B, K], what the readout decides; None, as `logits` and `decided_step`, without a readout.
        logits: [B, T', K], of the steps the readout needs.
        steps, times_ms: Those T' steps, and their times.
        decided_step: [B], the step each image's decision is taken from (the last one for a mean).
        recordings: What was recorded: for each `Record`, its areas' recordings by name.
        state: The state after the last step, if it was asked for.
    """

    output: Tensor
    logits: Tensor
    steps: tuple[int, ...]
    times_ms: tuple[float, ...]
    decided_step: Tensor
    recordings: tuple[dict[str, Recording], ...] = ()
    state: NetworkState | None = None

    def __getitem__(self, area: str) -> Recording:
        found = [i for i, recorded in enumerate(self.recordings) if area in recorded]
        if not found:
            raise unknown("recorded area", area, dict.fromkeys(name for r in self.recordings for name in r))
        if len(found) > 1:
            ways = " and ".join(f"out.recordings[{i}][{area!r}]" for i in found)
            raise VentralError(f"area '{area}' was recorded {len(found)} times; take one of {ways}")
        return self.recordings[found[0]][area]


@dataclass(frozen=True)
class Decision:
    """What early exit gives; see `Network.decide`.

    Attributes:
        logits: [B, K], at the step of the decision.
        step, times_ms: [B], when each image was decided.
        confidence: [B], the largest class probability at that step.
        confident: [B], whether the threshold was reached (else it is the most confident step's answer).
    """

    logits: Tensor
    step: Tensor
    times_ms: Tensor
    confidence: Tensor
    confident: Tensor
