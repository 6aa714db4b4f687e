import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The path of a real data set below the folder VENTRALSTREAM_DATA."""

    def find(name: str) -> Path:
        root = os.environ.get("VENTRALSTREAM_DATA")
        if not root:
            pytest.skip("VENTRALSTREAM_DATA is unset: no folder of real data")
        return Path(root) / name

    return find


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Writes a picture of random pixels, smooth enough to survive JPEG."""

    def write(path: Path, width: int = 40, height: int = 30, mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(path.name.encode()))
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((width, height)).convert(mode).save(path)
        return path

    return write
