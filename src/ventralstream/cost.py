"""What an unroll costs: parameters, operations and memory, counted on a network without weights or data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.program import Program, Request
from ventralstream.readout import Readout
from ventralstream.spec import NetworkSpec


@dataclass(frozen=True)
class Cost:
    """The cost of one image's decision at the last step (FLOPs: a multiplication and an addition are two).

    Attributes:
        parameters: Trainable parameters.
        flops_naive: Of the naive unroll.
        flops_planned: Of the planned one, for a single image.
        flops_planned_batched: Of the planned one per image of a large batch: what depends on no image is shared.
        area_steps_naive, area_steps_planned: (area, step) pairs evaluated.
        activation_bytes: Peak memory of activations in inference, an image.
        training_bytes: What a training step keeps for the backward pass, an image.
        training_bytes_naive: The same of the naive unroll.
    """

    parameters: int
    flops_naive: int
    flops_planned: int
    flops_planned_batched: int
    area_steps_naive: int
    area_steps_planned: int
    activation_bytes: int
    training_bytes: int
    training_bytes_naive: int

    def to_json(self) -> dict[str, int]:
        """The numbers by name."""
        return asdict(self)


def cost(spec: NetworkSpec, steps: int | None = None, presentation: Presentation | None = None) -> tuple[Cost, Program]:
    """Counts what an unroll costs, and gives its program.

    Args:
        spec: The network.
        steps: Steps; the spec's by default.
        presentation: The spec's by default.
    """
    network, planned, naive = _last_decision(spec, steps, presentation)
    network.readout_steps(spec.readout, planned.stop)
    program = network.plan(planned)
    one, two = (_flops(network, planned, batch) for batch in (1, 2))
    kept = [_kept_bytes(network, request, 2) - _kept_bytes(network, request, 1) for request in (planned, naive)]
    result = Cost(
        parameters=sum(p.numel() for p in network.parameters()),
        flops_naive=_flops(network, naive, 1),
        flops_planned=one,
        flops_planned_batched=two - one,
        area_steps_naive=program.area_steps_naive,
        area_steps_planned=program.area_steps_planned,
        activation_bytes=_peak_bytes(network, planned, 1),
        training_bytes=kept[0],
        training_bytes_naive=kept[1],
    )
    return result, program


@cache
def decision_flops(
    spec: NetworkSpec, steps: int | None = None, presentation: Presentation | None = None
) -> tuple[int, int]:
    """FLOPs of one image's decision at the last step, planned and naive: those of `cost`, and nothing else is counted.

    Args:
        spec: The network.
        steps: Steps; the spec's by default.
        presentation: The spec's by default.
    """
    network, planned, naive = _last_decision(spec, steps, presentation)
    return _flops(network, planned, 1), _flops(network, naive, 1)


def _last_decision(
    spec: NetworkSpec, steps: int | None, presentation: Presentation | None
) -> tuple[Network, Request, Request]:
    """A network without numbers, and what is asked of it for the decision at the last step, planned and naive."""
    with torch.device("meta"):
        network = Network(spec).eval()
    stop = network.count_steps(steps, presentation)
    wanted = frozenset({(spec.readout_area, stop - 1)})
    shown = presentation or spec.presentation
    planned, naive = (Request(0, stop, shown, wanted, naive=naive) for naive in (False, True))
    return network, planned, naive


@cache
def forward_cost(spec: NetworkSpec) -> tuple[int, int]:
    """(trainable parameters, FLOPs of the planned forward pass per image of a large batch), and nothing else."""
    with torch.device("meta"):
        network = Network(spec).eval()
    stop = network.count_steps(None, None)
    wanted = frozenset((spec.readout_area, t) for t in network.readout_steps(spec.readout, stop))
    request = Request(0, stop, spec.presentation, wanted)
    flops = _flops(network, request, 2) - _flops(network, request, 1)
    return sum(p.numel() for p in network.parameters()), flops


@cache
def training_flops(
    spec: NetworkSpec,
    steps: int | None = None,
    presentation: Presentation | None = None,
    readout: Readout | None = None,
) -> int:
    """FLOPs that training costs for an image: three times those of the planned forward pass.

    The backward pass of a convolution is two as large as its forward one. The plan is the one in training, where stages
    with batch statistics or dropout are computed at every step. What recomputation (remat) adds is not counted, nor
    what depends on no image, nor the optimiser.

    Args:
        spec: The network.
        steps: Steps; the spec's by default.
        presentation: The spec's by default.
        readout: The logits that are learnt from; the spec's by default.
    """
    with torch.device("meta"):
        network = Network(spec).train()
    stop = network.count_steps(steps, presentation)
    wanted = network.readout_steps(readout or spec.readout, stop)
    request = Request(0, stop, presentation or spec.presentation, frozenset((spec.readout_area, t) for t in wanted))
    return 3 * (_flops(network, request, 3) - _flops(network, request, 2))


def _stimulus(network: Network, request: Request, batch: int) -> dict[str, torch.Tensor]:
    shape = network.spec.input_shape
    frames = {"movie": (batch, request.stop - request.start, *shape)}
    shows = {s.shows for s in request.presentation.segments} - {"blank"}
    return {name: torch.empty(frames.get(name, (batch, *shape)), device="meta") for name in shows}


def _run(
    network: Network, request: Request, batch: int, look: Callable[[list[torch.Tensor]], None] | None = None
) -> None:
    program = network.plan(request)
    wanted = range(len(program.values)) if look else program.outputs.values()
    execution = network.execution(program, _stimulus(network, request, batch), frozenset(wanted))
    for _ in execution:
        if look:
            look(execution.tensors())


class _Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up operations by torch's formulas. (FlopCounterMode hangs hooks on modules, and nothing is stacked then.)"""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result


def _flops(network: Network, request: Request, batch: int) -> int:
    with _Flops() as counter, torch.no_grad():  # type: ignore[no-untyped-call]
        _run(network, request, batch)
    return int(counter.total)


def _peak_bytes(network: Network, request: Request, batch: int) -> int:
    peak = 0

    def look(tensors: list[torch.Tensor]) -> None:
        nonlocal peak
        sizes = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
        peak = max(peak, sum(sizes.values()))

    with torch.no_grad():
        _run(network, request, batch, look)
    return peak


def _kept_bytes(network: Network, request: Request, batch: int) -> int:
    """Bytes kept for the backward pass, parameters aside."""
    own = {p.untyped_storage()._cdata for p in network.parameters()}
    kept: dict[int, tuple[int, Any]] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = (
                storage.nbytes(),
                storage,
            )  # held, so that no other storage gets its address
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        _run(network, request, batch)
    return sum(size for size, _ in kept.values())
