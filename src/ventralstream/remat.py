"""Recomputation over time: the steps of an unroll in chunks, of which only the values between two are kept.

With as many chunks as each has steps, memory grows with the root of the steps (Chen et al. 2016, "Training deep nets
with sublinear memory cost"); a step's inside is computed once more in the backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from itertools import groupby
from typing import NamedTuple, TypeVar

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ventralstream.program import Instruction, Program

R = TypeVar("R")
Now = Callable[[], AbstractContextManager[None]]

_ALSO: ContextVar[tuple[Now, ...]] = ContextVar("also", default=())


class Chunk(NamedTuple):
    """A part of a program's instructions.

    Attributes:
        instructions: The instructions.
        again: Whether they may be computed again.
    """

    instructions: tuple[Instruction, ...]
    again: bool


def chunks(program: Program) -> list[Chunk]:
    """The instructions, in chunks of as many steps as there are such chunks.

    A stage of which it is not known what it does besides (a user's cell that says nothing, or draws numbers elsewhere
    than from torch) stands between two, and is computed once.
    """
    request = program.request
    size = math.isqrt(request.stop - request.start - 1) + 1

    def kind(instruction: Instruction) -> tuple[int, bool]:
        return (program.steps[instruction.outs[0]] - request.start) // size, not instruction.copy

    return [Chunk(tuple(group), again) for (_, again), group in groupby(program.instructions, key=kind)]


def recomputed(call: Callable[..., R], *args: object, buffers: Iterable[Tensor] = ()) -> R:
    """What a call gives, its inside being computed again in the backward pass.

    Torch's chance is then the same again, and what the call does to buffers (running statistics) is not done twice.
    """
    kept = tuple(buffers)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _all([_left_alone(kept), *(now() for now in _ALSO.get())])

    result: R = checkpoint(call, *args, use_reentrant=False, context_fn=contexts)
    return result


@contextmanager
def restoring(now: Now) -> Iterator[None]:
    """In the block, what is computed again is computed in the context that `now` gave when it was computed first."""
    token = _ALSO.set((*_ALSO.get(), now))
    try:
        yield
    finally:
        _ALSO.reset(token)


@contextmanager
def _all(contexts: Iterable[AbstractContextManager[None]]) -> Iterator[None]:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


@contextmanager
def _left_alone(buffers: tuple[Tensor, ...]) -> Iterator[None]:
    before = [buffer.detach().clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.data.copy_(value)  # unseen by autograd, which counts changes of what it has saved
