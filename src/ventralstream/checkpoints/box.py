"""Weights in the box: trained networks that come with the package, by model and tag; a saved network's folder each.

`scripts/box.py` makes them. Nothing is downloaded, and nothing but torch and safetensors is needed to load them.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "box"


def boxed_tags(model: str) -> list[str]:
    """The tags of the weights in the box that are of a model, sorted."""
    return sorted(found.name for found in boxed() if found.parent.name == model)


def boxed() -> list[Path]:
    """The folders of all weights in the box, `MODEL/TAG`, sorted."""
    return sorted(path.parent for path in FOLDER.glob("*/*/config.json"))


def boxed_folder(model: str, tag: str) -> Path | None:
    """The folder of weights in the box; None if there are none of that tag."""
    return FOLDER / model / tag if tag in boxed_tags(model) else None
