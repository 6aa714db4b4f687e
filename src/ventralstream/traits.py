"""What the planner must know of an area's and a transition's stages, in their modules' present mode."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ventralstream.area import AreaModule, Run, Transition
from ventralstream.cells.base import Cell
from ventralstream.errors import VentralError
from ventralstream.layers.norm import StepNorm
from ventralstream.layers.walk import walk
from ventralstream.program import Stage, Traits
from ventralstream.purity import Verdict, own_copy, random_like, verdict, verdicts_of_cell, why_not_pure


def traits_of_area(area: AreaModule) -> dict[Stage, Traits]:
    """The traits of an area's stages."""
    _is_still(area, AreaModule, "an area")
    name, cell = area.spec.name, area.cell
    if cell is not None:
        _is_still(cell, Cell, f"the cell of '{name}'")
    drive, output = walk(area.drive_layers), walk(area.output_layers)
    found: dict[Stage, Traits] = {("output", name): _traits(area, "output", output, _verdicts(output))}
    if cell is None:
        found["drive", name] = _traits(area, "drive", drive, _verdicts(drive))
        return found
    known = verdicts_of_cell(cell)
    own = walk(cell)
    of_drive = _verdicts(drive) | known["drive"]
    found["drive", name] = _traits(area, "drive", drive, of_drive, heavy=_heavy(own))
    if area.feedbacks:
        found["feedback", name] = _traits(area, "feedback", [], known["feedback"], heavy=True)
    update = _traits(area, "update", own, known["update"], cell.distinct_steps, cell.last_step)
    found["update", name] = replace(update, forgets=cell.forgets())
    return found


def traits_of_transition(transition: Transition) -> Traits:
    """The traits of a connection's layers."""
    _is_still(transition, Transition, "a transition")
    parts = walk(transition)
    return _traits(transition, "transit", parts, _verdicts(parts), len(transition.layers))


def _is_still(module: object, kind: type[nn.Module], what: str) -> None:
    if not isinstance(module, kind):
        raise VentralError(
            f"{what} was replaced by a {type(module).__name__}, which has none of its stages; replace or wrap the"
            " layers in it, or hang hooks on it"
        )


def _verdicts(modules: list[nn.Module]) -> set[Verdict]:
    return {verdict(m) for m in modules}


def _traits(
    owner: AreaModule | Transition,
    op: str,
    modules: list[nn.Module],
    verdicts: set[Verdict],
    distinct: int = 1,
    last: int | None = None,
    heavy: bool = False,
) -> Traits:
    """The traits of a stage that these modules belong to and of which these verdicts are known."""
    for part in modules:
        if isinstance(part, StepNorm):
            distinct = max(distinct, part.spec.per_step)
            if part.spec.per_step and part.spec.past_end == "error":
                last = min(part.spec.per_step - 1, part.spec.per_step - 1 if last is None else last)
    pure = verdicts <= {"pure"}
    if not pure and verdicts <= {"pure", "unknown"} and not any(m.training for m in walk(owner)):
        pure = _tried(owner, op, distinct)
    copies = not pure and not verdicts <= {"pure", "varies"}
    return Traits(distinct, last, pure, heavy or _heavy(modules), copies=copies)


def _heavy(modules: Iterable[nn.Module]) -> bool:
    return any(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)) for m in modules)


def _tried(owner: AreaModule | Transition, op: str, distinct: int) -> bool:
    """Whether a stage nobody says anything of looks pure when it is tried; tried once for the modules as they are."""
    if torch.compiler.is_compiling():  # a graph is being made, in which a trial has no place
        return False
    modules = [(type(m), *(_as_it_is(v) for k, v in vars(m).items() if _is_kept(k, v))) for m in walk(owner)]
    tried = owner.tried.get(op)
    if tried is None or tried[0] != modules:
        try:
            pure = why_stage_is_not_pure(owner, op, {0, 1, distinct - 1}) is None
        except Exception:  # the modules cannot be copied now, or a stage before this one fails
            return False
        tried = owner.tried[op] = modules, pure
    return tried[1]


def _is_kept(name: str, value: object) -> bool:
    """Whether an attribute is what a module remembers; a function put on it (`same_draws`) is none of its numbers."""
    return name != "tried" and not isinstance(value, types.FunctionType)


def _as_it_is(value: object, depth: int = 3) -> object:
    """What tells whether a module's attribute is still what it was: a noise's size may be set after a trial."""
    if isinstance(value, Tensor):
        return id(value), None if value.is_inference() else value._version
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None))):
        return repr(value)
    if depth and not isinstance(value, (nn.Module, type)):
        if isinstance(value, Mapping):
            return tuple((repr(k), _as_it_is(v, depth - 1)) for k, v in value.items())
        if isinstance(value, (list, tuple, set, frozenset)):
            return tuple(_as_it_is(v, depth - 1) for v in value)
        return id(value), _as_it_is(getattr(value, "__dict__", None), depth - 1)
    return id(value)


def why_stage_is_not_pure(owner: AreaModule | Transition, op: str, steps: Iterable[int]) -> str | None:
    """What a stage, tried at these steps on a copy, does that a pure one does not; None if it looks pure."""
    with torch.inference_mode(False), torch.no_grad():
        own = own_copy(owner)
        return next((why for step in steps if (why := why_not_pure(*TRIALS[op](own, step)))), None)


def _like(module: nn.Module) -> Tensor:
    tensors = (t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point() or t.is_complex())
    first = next(tensors, torch.empty(0))
    return torch.empty(0, device=first.device, dtype=first.dtype.to_real() if first.is_complex() else first.dtype)


def _arrived(area: AreaModule, connections: tuple[int, ...]) -> list[Tensor]:
    like = _like(area)
    return [random_like((2, *area.shapes.arriving[i]), like, seed=i) for i in connections]


def _drive_trial(area: AreaModule, step: int) -> tuple[Callable[..., Any], list[Any]]:
    run = Run(area.shapes, _like(area))
    arrived: list[Any] = _arrived(area, area.input_indices)
    if area.cell is not None and area.cell.feedback_entry == "drive" and area.feedbacks:
        call, args = _feedback_trial(area, step)
        arrived.append(call(*args))
    return lambda *args: area.drive(step, run, *args), arrived


def _feedback_trial(area: AreaModule, step: int) -> tuple[Callable[..., Any], list[Any]]:
    run = Run(area.shapes, _like(area))
    return lambda *args: area.feedback(step, run, *args), list(_arrived(area, area.feedback_indices))


def _update_trial(area: AreaModule, step: int) -> tuple[Callable[..., Any], list[Any]]:
    assert area.cell is not None
    call, args = _drive_trial(area, step)
    feedback = None
    if area.cell.feedback_entry == "update" and area.feedbacks:
        through, returned = _feedback_trial(area, step)
        feedback = through(*returned)
    state = area.cell.init_state(2, area.shapes.drive[area.spec.name], _like(area))
    moved = tuple(x + random_like(x.shape, x, i) if x.dtype.is_floating_point else x for i, x in enumerate(state))
    return (
        lambda drive, feedback, state: (
            area.update(step, drive, feedback, state),
            area.emit(step, drive, feedback, state),
        ),
        [call(*args)[0], feedback, moved],
    )


def _output_trial(area: AreaModule, step: int) -> tuple[Callable[..., Any], list[Any]]:
    call, args = _drive_trial(area, step)
    last, raw = call(*args)
    if area.cell is not None:
        through, given = _update_trial(area, step)
        last = through(*given)[0][0]
    return lambda last, raw: area(step, last, raw), [last, raw]


def _transit_trial(transition: Transition, step: int) -> tuple[Callable[..., Any], list[Any]]:
    x = random_like((2, *transition.shape), _like(transition), seed=0)
    return lambda x: transition(step, x), [x]


TRIALS: dict[str, Callable[[Any, int], tuple[Callable[..., Any], list[Any]]]] = {  # to a call and its arguments
    "drive": _drive_trial,
    "feedback": _feedback_trial,
    "update": _update_trial,
    "output": _output_trial,
    "transit": _transit_trial,
}
