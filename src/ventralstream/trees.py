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

    def flatten_with_keys(x: Any) -> tuple[list[Any], tuple[Any, ...]]:
        there = [name for name in tensors if getattr(x, name) is not None]  # None would be a leaf
        children = [(_pytree.GetAttrKey(name), getattr(x, name)) for name in there]
        return children, (tuple(there), *(getattr(x, name) for name in others))

    def flatten(x: Any) -> tuple[list[Any], tuple[Any, ...]]:
        children, context = flatten_with_keys(x)
        return [child for _, child in children], context

    def unflatten(children: Iterable[Any], context: tuple[Any, ...]) -> Any:
        there, *rest = context
        found = dict.fromkeys(tensors) | dict(zip(there, children, strict=True))
        return cls(**found, **dict(zip(others, rest, strict=True)))

    _pytree.register_pytree_node(
        cls,
        flatten,
        unflatten,
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        to_dumpable_context=list,
        from_dumpable_context=lambda context: tuple(tuple(x) if isinstance(x, list) else x for x in context),
        flatten_with_keys_fn=flatten_with_keys,
    )
