"""The executor: runs a program's instructions on tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor

from ventralstream import hooks, remat
from ventralstream.layers import shortcuts
from ventralstream.layers.cpu import convolution
from ventralstream.program import LEAVES, Instruction, Program, Value

Call = Callable[..., Any]
Held = dict[Any, Any]  # values by their number, or stacks of them by theirs

# Stages that give more than one thing: a drive gives (drive, the area's own input), an update (output, state).
# Which of them each argument of a stage takes.
PARTS = {"output": (0, 1), "update": (0, None, 1), "emit": (0, None, 1)}


class Execution:
    """One run of a program.

    Iterating gives (index, value) of each wanted value as soon as it is computed; values are freed once nothing
    needs them. Between two of them, `keep` may drop images from the batch (early exit).

    Args:
        program: The program.
        stage: Gives the function of a value, and the batch it has where nothing arrives; called as
            `function(step, *args)`.
        leaf: Makes a leaf value, of the whole batch or of a batch of one.
        batch: The batch size.
        wanted: Indices of the values to give out.
        buffers: What stages may change, if only that is to be kept which chunks of steps hand on, and the rest computed
            again in the backward pass (`ventralstream.remat`; the program should be in the order of time); None
            keeps all.
        shortcuts: Whether modules may be gone around; see `ventralstream.layers.shortcuts`.
        fast_convolutions: See `Network.fast_convolutions`; only with shortcuts.
    """

    def __init__(
        self,
        program: Program,
        stage: Callable[[Value, int], Call],
        leaf: Callable[[Value], Any],
        batch: int,
        wanted: frozenset[int],
        buffers: tuple[Tensor, ...] | None = None,
        shortcuts: bool = True,
        fast_convolutions: bool = True,
    ) -> None:
        self.program, self.stage, self.leaf = program, stage, leaf
        self.batch, self.wanted, self.buffers = batch, wanted, buffers
        self.env: Held = {}
        self.stacks: Held = {}
        self.dropped: list[Tensor] = []
        self.watched = program.request.watched
        self.shortcuts = shortcuts
        self.store = convolution.Store() if shortcuts and fast_convolutions else None

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        if self.buffers is None or not torch.is_grad_enabled():
            yield from self._through(self.program.instructions)
        else:
            for instructions, again in remat.chunks(self.program):
                if not again:
                    yield from self._through(instructions)
                    continue
                before, kept = (self.env, self.stacks), self.buffers
                found, self.env, self.stacks = remat.recomputed(self._apart, instructions, *before, buffers=kept)
                yield from found
        if self.store is not None:
            self.store.clear()

    def _through(self, instructions: Iterable[Instruction]) -> Iterator[tuple[int, Any]]:
        for instruction in instructions:
            self._run(instruction)
            for v in instruction.outs:
                if v in self.wanted:
                    yield v, self.env[v]
            for v in instruction.free:
                self.env.pop(v, None)
            for stack in instruction.free_stacks:
                self.stacks.pop(stack, None)

    def _apart(self, instructions: Iterable[Instruction], env: Held, stacks: Held) -> tuple[list[Any], Held, Held]:
        """The same from these values on, and nothing here changes: it is done again in the backward pass."""
        here = copy.copy(self)
        here.env, here.stacks = dict(env), dict(stacks)
        here.store = None if self.store is None else self.store.apart()
        found = list(here._through(instructions))
        if here.store is not None:
            here.store.forget()
        return found, here.env, here.stacks

    def tensors(self) -> list[Tensor]:
        """All tensors that are held at this moment."""
        found: list[Tensor] = []
        for tree in (*self.env.values(), *self.stacks.values()):
            _map(lambda x: found.append(x) or x, tree)  # type: ignore[func-returns-value]
        return found

    def keep(self, rows: Tensor) -> None:
        """Goes on with these images only (indices into the present batch)."""
        size = self.batch
        self.env = {v: _map(lambda x: x[rows] if x.shape[0] == size else x, x) for v, x in self.env.items()}
        self.dropped.append(rows)
        self.batch = len(rows)

    def _run(self, instruction: Instruction) -> None:
        value, count = instruction.value, len(instruction.outs)
        if value.op in LEAVES:
            leaf = self.leaf(value)
            for rows in self.dropped if value.stimulus else ():
                leaf = _map(lambda x: x[rows], leaf)  # noqa: B023
            if self.watched:
                leaf = _map(lambda x: x.expand(self.batch, *x.shape[1:]), leaf)
            self.env[instruction.outs[0]] = leaf
            return
        expand = self.batch if instruction.expand and value.stimulus else None
        parts = PARTS.get(value.op, (None,) * len(instruction.args))
        args = [
            None if a is None else self._operand(a, part, expand)
            for a, part in zip(instruction.args, parts, strict=True)
        ]
        if instruction.copy:
            args = [_map(_copy, a) for a in args]
        call = self.stage(value, self.batch if self.watched else expand or 1)
        if self.shortcuts:
            call = convolution.within(self.store, shortcuts.allowing(call))
        elif self.watched:
            step = self.program.steps[instruction.outs[0]]
            call = hooks.during(hooks.Moment(cast(str | int, value.owner), value.op, step), call)
        result = call(value.step, *args)
        if count == 1:
            self.env[instruction.outs[0]] = result
            return
        if instruction.outs in self.program.stacks:
            self.stacks[instruction.outs] = result
        for v, part in zip(instruction.outs, _split(result, count), strict=True):
            self.env[v] = part

    def _operand(self, values: tuple[int, ...], part: int | None, expand: int | None) -> Any:
        whole = self.stacks.get(values)
        # a stack of batch-of-one values cannot be expanded; its members can
        if whole is not None and (expand is None or _rows(whole) == expand * len(values)):
            return whole if part is None else whole[part]
        parts = [self.env[v] if part is None else self.env[v][part] for v in values]
        if expand is not None:
            parts = [_map(lambda x: x.expand(expand, *x.shape[1:]), part) for part in parts]
        return parts[0] if len(parts) == 1 else _cat(parts)


def _rows(tree: Any) -> Any:
    return _rows(tree[0]) if isinstance(tree, tuple) else tree.shape[0]


def _map(f: Callable[[Tensor], Tensor], tree: Any) -> Any:
    if isinstance(tree, tuple):
        return tuple(_map(f, x) for x in tree)
    return f(tree) if isinstance(tree, Tensor) else tree


def _copy(x: Tensor) -> Tensor:
    return x.clone(memory_format=torch.channels_last) if x.dim() == 4 else x.clone()


def _split(tree: Any, count: int) -> list[Any]:
    """As many parts of the batch; each tensor is split once, so that its gradient is put together once."""
    if isinstance(tree, tuple):
        parts = [_split(x, count) for x in tree]
        return [tuple(part[i] for part in parts) for i in range(count)]
    # by sizes: torch.export then knows the parts' of any batch
    return list(torch.split(tree, [tree.shape[0] // count] * count)) if isinstance(tree, Tensor) else [tree] * count


def _cat(trees: list[Any]) -> Any:
    first = trees[0]
    if isinstance(first, tuple):
        return tuple(_cat([t[i] for t in trees]) for i in range(len(first)))
    return torch.cat(trees) if isinstance(first, Tensor) else first
