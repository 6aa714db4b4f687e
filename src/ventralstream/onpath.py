"""Recorded maps that autograd finds where they are in the network, on the way from the image to the logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_GRAD = Tensor.grad.__get__  # type: ignore[union-attr]


class StepMaps(Tensor):
    """Maps of several steps, stacked to [B, T', ...].

    Later maps depend on earlier ones, so their stack cannot lie on the path that leads through them: it is a copy
    beside it. `torch.autograd.grad` with respect to the stack therefore takes the gradients with respect to the maps it
    was made of, all their later effects included; so do `retain_grad` and `grad`. To every other operation it is a
    plain tensor, and gives plain tensors.

    Attributes:
        maps: The T' tensors on the path.
    """

    maps: tuple[Tensor, ...]

    @staticmethod
    def of(stacked: Tensor, maps: Sequence[Tensor]) -> StepMaps:
        """`stacked`, made of `maps`."""
        steps = stacked.as_subclass(StepMaps)
        steps.maps = tuple(maps)
        return steps

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs what torch was asked for; see the class."""
        with torch._C.DisableTorchFunctionSubclass():  # as torch's notes on extending it have it
            if func is torch.autograd.grad:
                return _grad(*args, **(kwargs or {}))
            if func is Tensor.retain_grad:
                for x in args[0].tracked():
                    x.retain_grad()
                return None
            if func == _GRAD:
                return args[0]._joined([x.grad for x in args[0].tracked()])
            return func(*args, **(kwargs or {}))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled, it is a plain tensor."""
        return self.as_subclass(Tensor).__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    def tracked(self) -> list[Tensor]:
        """The maps that have gradients: with frozen weights, those that the image drives."""
        return [x for x in self.maps if x.requires_grad]

    def _joined(self, gradients: Sequence[Tensor | None], batched: bool = False) -> Tensor | None:
        """The tracked maps' gradients as one of the stack; None if there are none."""
        some = next((g for g in gradients if g is not None), None)
        if some is None:
            return None
        found = iter(gradients)
        each = [next(found) if x.requires_grad else None for x in self.maps]
        steps = [torch.zeros_like(some) if g is None else g for g in each]
        joined = torch.stack(steps, 2 if batched else 1)
        return joined.reshape(*joined.shape[:batched], *self.shape)


def _grad(
    outputs: Any,
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """torch.autograd.grad, where a `StepMaps` among the inputs stands for its maps."""
    asked = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    groups = [x.tracked() if isinstance(x, StepMaps) else [x] for x in asked]
    found = iter(
        torch.autograd.grad(
            outputs,
            [x for group in groups for x in group],
            grad_outputs,
            retain_graph,
            create_graph,
            only_inputs,
            allow_unused=True,  # of a stack, some maps may be
            is_grads_batched=is_grads_batched,
        )
    )
    gradients: list[Tensor | None] = []
    for x, group in zip(asked, groups, strict=True):
        own = [next(found) for _ in group]
        gradient = x._joined(own, is_grads_batched) if isinstance(x, StepMaps) else own[0]
        if gradient is None and materialize_grads:
            gradient = torch.zeros_like(x, requires_grad=create_graph)
        if gradient is None and not allow_unused:
            raise RuntimeError("a tensor to differentiate by was not used; with allow_unused=True it gets None")
        gradients.append(gradient)
    return tuple(gradients)
