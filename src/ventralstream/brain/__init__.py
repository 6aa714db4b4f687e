"""How well a model explains recordings and people: arrays with named dimensions in, scores out.

Names are imported when they are first used, so that `import ventralstream.brain` is light.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES: dict[str, tuple[str, ...]] = {
    "score": ("Score",),
    "splits": ("halves", "train_test_splits"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"ventralstream.brain.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'ventralstream.brain' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
