"""Going through a module's parts, fast enough to be done at every call."""

from __future__ import annotations

from torch import nn


def walk(module: nn.Module) -> list[nn.Module]:
    """The module and all modules inside it, each once (`Module.modules()` also makes up their names on the way)."""
    found: dict[nn.Module, None] = {}
    waiting: list[nn.Module | None] = [module]
    while waiting:
        part = waiting.pop()
        if part is not None and part not in found:
            found[part] = None
            waiting.extend(reversed(part._modules.values()))
    return list(found)
