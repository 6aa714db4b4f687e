"""Our results as torch's trees: DistributedDataParallel, torch.export and torch.func then find the tensors in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from torch.utils import _pytree  # the only home of what torch.export's notes on custom types tell to call


def register(cls: type, *tensors: str) -> None:
    """Registers a dataclass.

    Args:
        cls: The dataclass.
        tensors: The fields that hold tensors, or trees of them; the others describe them.
    """
    others = [f.name for f in fields(cls) if f.name not in tensors]

    def flatten(x: Any) -> tuple[list[Any], tuple[Any, ...]]:
        return [getattr(x, name) for name in tensors], tuple(getattr(x, name) for name in others)

    def flatten_with_keys(x: Any) -> tuple[list[Any], tuple[Any, ...]]:
        children, context = flatten(x)
        return [(_pytree.GetAttrKey(n), child) for n, child in zip(tensors, children, strict=True)], context

    def unflatten(children: Iterable[Any], context: tuple[Any, ...]) -> Any:
        return cls(**dict(zip(tensors, children, strict=True)), **dict(zip(others, context, strict=True)))

    _pytree.register_pytree_node(
        cls,
        flatten,
        unflatten,
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        to_dumpable_context=list,
        from_dumpable_context=lambda context: tuple(tuple(x) if isinstance(x, list) else x for x in context),
        flatten_with_keys_fn=flatten_with_keys,
    )
