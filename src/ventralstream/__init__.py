"""ventralstream: recurrent convolutional models of the primate ventral visual stream.

Names are imported when they are first used, so that `import ventralstream` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import Any

from ventralstream.version import __version__

_HOMES = {
    "errors": ("VentralError",),
    "spec": ("Area", "CellSpec", "Connection", "NetworkSpec", "rename_areas", "spec_from_json"),
    "presentation": ("Constant", "Flash", "Masked", "Movie", "Neural", "Presentation", "Segment"),
    "readout": (
        "ClassPeak",
        "ClassWeighted",
        "ConfidenceWeighted",
        "Last",
        "MaxConfidence",
        "Mean",
        "PerStep",
        "Readout",
        "Threshold",
    ),
    "record": ("Record", "Recording"),
    "network": ("Network",),
    "output": ("Decision", "NetworkState", "Output"),
    "timing": ("first_steps",),
    "models": ("count_parameters", "create_model", "list_models", "model_spec", "register_model"),
    "checkpoints": ("from_hub", "load_network", "push_to_hub", "save_network"),
    "features.extraction": ("extract",),
    "features.store": ("open_features",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"ventralstream.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'ventralstream' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
