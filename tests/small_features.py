"""Small networks, pictures and stores that the tests of features share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray
from PIL import Image

from ventralstream.layers.specs import Act, Conv, GlobalPool, Norm
from ventralstream.models import build
from ventralstream.network import Network
from ventralstream.spec import Area, Connection, NetworkSpec


def tiny(window: tuple[int, int] | None = None) -> Network:
    """Two areas, the second two steps behind the image."""
    areas = (
        Area("v1", (Conv(4, stride=2), Norm(), Act("relu"))),
        Area("it", (Conv(5, stride=2),), output=(GlobalPool(),), window=window),
    )
    links = (Connection("image", "v1"), Connection("v1", "it"))
    spec = NetworkSpec("tiny", areas, links, "it", input_shape=(3, 16, 16), steps=4)
    return build(spec, seed=0).eval()


def pictures(folder: Path, count: int, broken: list[int] = []) -> Path:  # noqa: B006
    """So many pictures 00.png, 01.png, ... of random pixels, some of them cut off."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(count):
        path = folder / f"{i:02}.png"
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
        if i in broken:
            path.write_bytes(path.read_bytes()[:200])
    return folder


def contents(path: Path) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """All numbers and attributes of a store."""
    tree = xarray.open_datatree(path, engine="zarr")
    found = {f"{area}/{name}": np.asarray(v) for area in tree.children for name, v in tree[area].variables.items()}
    return found, {**tree.attrs, **{area: tree[area]["activations"].attrs for area in tree.children}}
