"""What an unroll gives: its output, its decision, and the state that the next one carries on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from ventralstream.arguments import misfit
from ventralstream.errors import VentralError, unknown
from ventralstream.record import Of, Reduce
from ventralstream.summary import Summary, span
from ventralstream.trees import register


@dataclass(frozen=True, eq=False, repr=False)
class Recording(Summary):
    """The activations of one area.

    Attributes:
        area: Its name.
        values: [B, T', ...], see `Record.reduce`.
        steps: The T' steps.
        times_ms: Their times in milliseconds, step * dt_ms.
        first_step: The first step at which the image drives the area; what is recorded before it is the network's
            activity before the stimulus arrives, the same for all images.
        of, reduce: As the `Record` says.
    """

    area: str
    values: Tensor
    steps: tuple[int, ...]
    times_ms: tuple[float, ...]
    first_step: int
    of: Of = "output"
    reduce: Reduce = "none"

    def described(self) -> str:
        """What was kept, in words."""
        kept = {"none": self.of, "flatten": f"{self.of}, flat"}.get(self.reduce, f"{self.reduce} of {self.of}")
        return f"{kept} at {span(self.steps, self.times_ms)}, driven from step {self.first_step}"

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        return f"Recording of {self.area!r}: {_shape(self.values)}, {self.described()}", []


@dataclass(frozen=True, eq=False, repr=False)
class NetworkState(Summary):
    """What a network carries from one unroll to the next.

    Attributes:
        step: Steps run so far.
        outputs: Per source (an area or "image"), its last outputs, the newest first; None where there was none.
        cells: Per area with a cell, the cell's state.
    """

    step: int
    outputs: dict[str, tuple[Tensor | None, ...]]
    cells: dict[str, tuple[Tensor, ...]]

    def tensors(self) -> Iterator[Tensor]:
        """All tensors it holds."""
        yield from (x for parts in (*self.outputs.values(), *self.cells.values()) for x in parts if x is not None)

    def detach(self) -> NetworkState:
        """The same state, cut off from the graph of gradients (truncated backpropagation through time)."""
        return self.map(lambda x: x.detach())

    def map(self, f: Callable[[Tensor], Tensor]) -> NetworkState:
        """The state with f applied to every tensor."""
        outputs = {k: tuple(None if x is None else f(x) for x in v) for k, v in self.outputs.items()}
        return NetworkState(self.step, outputs, {k: tuple(map(f, v)) for k, v in self.cells.items()})

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        batch = next((x.shape[0] for x in self.tensors()), 0)
        rows = [
            (name, ", ".join(held)) for name, held in (("outputs of", self.outputs), ("cells of", self.cells)) if held
        ]
        return f"NetworkState after {self.step} steps, batch of {batch}", rows


@dataclass(frozen=True, eq=False, repr=False)
class Output(Summary):
    """What an unroll gives. `out["conv3"]` is what was recorded of an area; `"conv3" in out` says whether it was.

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
        if not isinstance(area, str):
            raise misfit("a recorded area", area, "its name, such as out['IT']")
        found = [i for i, recorded in enumerate(self.recordings) if area in recorded]
        if not found:
            raise unknown("recorded area", area, self.keys())
        if len(found) > 1:
            ways = " and ".join(f"out.recordings[{i}][{area!r}]" for i in found)
            raise VentralError(f"area '{area}' was recorded {len(found)} times; take one of {ways}")
        return self.recordings[found[0]][area]

    def keys(self) -> list[str]:
        """The areas that were recorded."""
        return list(dict.fromkeys(name for recorded in self.recordings for name in recorded))

    def __contains__(self, area: object) -> bool:
        return area in self.keys()

    def __iter__(self) -> Iterator[str]:
        """The names of the recorded areas, as a dictionary gives its keys.

        Raises:
            VentralError: if nothing was recorded: then somebody takes it for a tuple.
        """
        if not self.recordings:
            raise VentralError(
                "an Output is no tuple to unpack, and nothing was recorded of which it could give the areas;"
                " take out.output, out.logits or out.state"
            )
        return iter(self.keys())

    def _summary(self) -> tuple[str, list[tuple[str, str, str]]]:
        rows = []
        if self.output is not None:
            rows += [
                ("output", _shape(self.output), ""),
                ("logits", _shape(self.logits), span(self.steps, self.times_ms)),
            ]
        for i, recorded in enumerate(self.recordings):
            where = f".recordings[{i}]" if len(self.recordings) > 1 else ""
            rows += [(f"{where}[{name!r}]", _shape(r.values), r.described()) for name, r in recorded.items()]
        if self.state is not None:
            rows.append(("state", "", f"after {self.state.step} steps"))
        return "Output", rows


@dataclass(frozen=True, eq=False, repr=False)
class Decision(Summary):
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

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        batch, classes = self.logits.shape
        rows = []
        if batch and not self.step.is_meta:
            steps, times = (sorted(set(x.tolist())) for x in (self.step, self.times_ms))
            confident = f"{int(self.confident.sum())} of {batch} images"
            rows = [("decided", f"at {span(steps, times)}"), ("confident", confident)]
        return f"Decision for {batch} images among {classes} classes", rows


def _shape(x: Tensor) -> str:
    return str(list(x.shape))


register(Recording, "values")
register(NetworkState, "outputs", "cells")
register(Output, "output", "logits", "decided_step", "recordings", "state")
register(Decision, "logits", "step", "times_ms", "confidence", "confident")
