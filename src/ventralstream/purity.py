"""Which stages may be merged, stacked and computed once for all images.

A stage is pure if its result for an image follows from that image's arguments alone: no chance, no statistics of the
batch, no memory, arguments not overwritten, a batch of one broadcast. Of the library's and of torch's modules this is
known; a cell or module of a user says it (`pure`). Where nothing is said, a stage counts as not pure in training mode;
in evaluation mode it is tried.
"""

from __future__ import annotations

import copy
import functools
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ventralstream.cells.base import STAGES, Cell, CellStage
from ventralstream.errors import VentralError, unknown
from ventralstream.layers.sync_norm import SyncNorm
from ventralstream.layers.walk import walk

Verdict = Literal["pure", "varies", "impure", "unknown"]
# of torch.nn.modules: these files' classes are pure, but for those below
_PURE_FILES = frozenset(
    f"torch.nn.modules.{name}"
    for name in (
        "activation", "channelshuffle", "container", "conv", "distance", "flatten", "fold", "linear", "normalization",
        "padding", "pixelshuffle", "pooling", "upsampling",
    )
)  # fmt: skip
_BY_CHANCE = (nn.modules.dropout._DropoutNd, nn.RReLU, nn.MultiheadAttention)  # in training
_DRAW_ALWAYS = (nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


def verdict(module: nn.Module) -> Verdict:
    """What is known of one module, its children aside, in its present mode.

    Returns:
        "varies": not pure (batch statistics, dropout), but it overwrites nothing; "impure": its class says so;
        "unknown": nobody says anything.
    """
    kind = type(module)
    if _always_pure(kind):  # type: ignore[arg-type]
        return "pure"
    if isinstance(module, Cell):  # inside another one
        said = {verdict_of_cell(module, stage) for stage in STAGES}
        return next((v for v in ("unknown", "impure") if v in said), "pure")  # type: ignore[return-value]
    if isinstance(module, _NORMS) and (_of_torch(kind) or kind is SyncNorm):
        statistics = isinstance(module, _NORMS[0]) and not module.track_running_stats
        return "varies" if statistics or (module.training and module.track_running_stats) else "pure"
    if getattr(module, "inplace", False):
        return "unknown"
    if isinstance(module, _BY_CHANCE) and _of_torch(kind):
        p = getattr(module, "p", getattr(module, "dropout", 1.0))  # RReLU has none
        return "varies" if module.training and p > 0 else "pure"
    if "pure" in vars(kind):  # a subclass may do otherwise, so it has to say it anew
        return "pure" if module.pure else "impure"
    return "pure" if _known(kind) else "unknown"


def _of_torch(kind: type) -> bool:
    return kind.__module__.startswith("torch.nn.modules.")


def _known(kind: type) -> bool:
    """Whether such modules depend neither on their mode nor on chance."""
    ours = kind.__module__.startswith("ventralstream.") and "pure" not in vars(kind) and not issubclass(kind, _NORMS)
    return ours or (kind.__module__ in _PURE_FILES and not issubclass(kind, (*_BY_CHANCE, *_DRAW_ALWAYS)))


@functools.cache
def _always_pure(kind: type[Any]) -> bool:
    """Whether nothing about a module of this class needs to be looked at."""
    return _known(kind) and not issubclass(kind, Cell) and "inplace" not in getattr(kind, "__constants__", ())


def verdict_of_cell(cell: Cell, stage: CellStage) -> Verdict:
    """What a cell's class says of the code of one of its stages, its submodules aside."""
    if _inherited(cell, stage):
        return "pure"
    if "pure" not in vars(type(cell)) and "pure" not in vars(cell):
        return "unknown"
    said = cell.pure
    name = type(cell).__name__
    if isinstance(said, str) or not isinstance(said, Iterable):
        raise VentralError(f"'pure' of the cell {name} is {said!r}; expected a tuple of the stages {', '.join(STAGES)}")
    for word in said:
        if word not in STAGES:
            raise unknown("stage", word, STAGES, f" in 'pure' of the cell {name}")
    return "pure" if stage in said else "impure"


def verdicts_of_cell(cell: Cell) -> dict[CellStage, set[Verdict]]:
    """What is known of each stage of a cell: of its class's code and of the submodules that the stage may call."""
    if type(cell).modules_of is Cell.modules_of:
        of_all = {verdict(m) for part in cell.children() for m in walk(part)}
        parts = dict.fromkeys(STAGES, of_all)
    else:
        parts = {s: {verdict(m) for part in cell.modules_of(s) for m in walk(part)} for s in STAGES}
    return {s: {verdict_of_cell(cell, s)} | (set() if _inherited(cell, s) else parts[s]) for s in STAGES}


def _inherited(cell: Cell, stage: CellStage) -> bool:
    """Whether a stage is the base class's: the drive is then the identity, the others are never called."""
    return getattr(type(cell), stage) is getattr(Cell, stage)


def own_copy(module: nn.Module) -> Any:
    """A copy with tensors of its own, outside every graph, that no hook looks into."""
    memo: dict[int, Any] = {}
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            memo[id(tensor)] = tensor.detach().clone()
    for part in module.modules():
        for hooks in (part._forward_hooks, part._forward_pre_hooks):
            memo[id(hooks)] = OrderedDict()
    return copy.deepcopy(module, memo)


def random_like(shape: Sequence[int], like: Tensor, seed: int) -> Tensor:
    """Normal numbers for a trial; no generator but its own is touched."""
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), device="cpu")
    return values.to(like.device, like.dtype)


class _Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees whether random numbers are drawn."""

    seen = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen = self.seen or torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))


def why_not_pure(call: Callable[..., Any], args: Sequence[Any]) -> str | None:
    """Tries a stage: twice on the same images, image by image, and with each argument of a batch of one.

    Args:
        call: The stage.
        args: Its arguments, of two images; tensors, None, or tuples of them.

    Returns:
        What it does that a pure stage does not; None if it looks pure.
    """
    state, draws = torch.get_rng_state(), _Draws()  # type: ignore[no-untyped-call]
    others = random.getstate(), np.random.get_state()  # noqa: NPY002 - a module may draw from these
    try:
        with draws:
            why = _misbehaves(call, args)
        return "draws random numbers" if draws.seen else why
    except Exception as error:  # what it raises in a trial, it raises in the unroll, if it does
        return f"raises {type(error).__name__} ({error})"
    finally:
        if draws.seen:
            torch.set_rng_state(state)
        random.setstate(others[0])
        np.random.set_state(others[1])  # noqa: NPY002


def _misbehaves(call: Callable[..., Any], args: Sequence[Any]) -> str | None:
    def fresh(tree: Any, rows: slice = slice(None)) -> Any:
        return mapped(lambda x: x[rows].clone(), tree)

    given = [fresh(a) for a in args]
    versions = [x._version for x in leaves(given)]
    first = call(*given)
    if not same(given, args) or versions != [x._version for x in leaves(given)]:
        return "overwrites its arguments"
    if not same(first, call(*[fresh(a) for a in args]), exactly=True):
        return "gives something else when it is called again"
    for row in (slice(0, 1), slice(1, 2)):
        if not same(mapped(lambda x: x[row], first), call(*[fresh(a, row) for a in args])):  # noqa: B023
            return "mixes the images of a batch"
    for i in range(len(args) if len(args) > 1 else 0):
        one = [fresh(a, slice(0, 1) if i == j else slice(None)) for j, a in enumerate(args)]
        two = [mapped(_two, a) if i == j else a for j, a in enumerate(one)]
        expected = call(*mapped(torch.clone, two))
        try:
            found = mapped(_two, call(*one))
        except Exception as error:
            return f"does not broadcast a batch of one ({error})"
        if not same(found, expected):
            return "does not broadcast a batch of one"
    return None


def _two(x: Tensor) -> Tensor:
    return x.expand(2, *x.shape[1:])


def mapped(f: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """A tree of tuples and lists with f applied to every tensor."""
    if isinstance(tree, (tuple, list)):
        return type(tree)(mapped(f, x) for x in tree)
    return f(tree) if isinstance(tree, Tensor) else tree


def leaves(tree: Any) -> Iterator[Tensor]:
    """The tensors of a tree."""
    if isinstance(tree, (tuple, list)):
        for part in tree:
            yield from leaves(part)
    elif isinstance(tree, Tensor):
        yield tree


def same(a: Any, b: Any, exactly: bool = False) -> bool:
    """Whether two trees hold the same numbers, to half the digits of their type or exactly."""
    return all(_close(x, y, exactly) for x, y in zip(leaves(a), leaves(b), strict=True))


def _close(x: Tensor, y: Tensor, exactly: bool) -> bool:
    if x.shape != y.shape or x.dtype != y.dtype or x.is_meta:
        return x.shape == y.shape and x.dtype == y.dtype
    if not (x.is_floating_point() or x.is_complex()):
        return torch.equal(x, y)
    digits = 0.0 if exactly else torch.finfo(x.dtype).eps ** 0.5
    return torch.allclose(x, y, rtol=digits, atol=digits * float(x.abs().nan_to_num().max()), equal_nan=True)
