"""Numbers of the original implementations, and what their README says of drawing weights and images."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(os.environ.get("VENTRALSTREAM_REFERENCE", Path(__file__).parents[2] / "shared" / "reference"))
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def generator(name: str) -> np.random.Generator:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed))


def images() -> torch.Tensor:
    x = generator("images").random((2, 224, 224, 3), dtype=np.float32)
    return torch.from_numpy((x - MEAN) / STD).permute(0, 3, 1, 2).contiguous()


def convrnn_variable(name: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    n = generator(name).standard_normal(shape, dtype=np.float32)
    last = name.rsplit("/", 1)[-1]
    if last == "decoder_threshold":
        return np.full(shape, 0.9, np.float32)
    if len(shape) >= 2:
        depthwise = last.startswith("depthwise_weights")
        fan_in = shape[0] * shape[1] if depthwise else int(np.prod(shape[:-1]))
        return n * np.float32(gain / np.sqrt(fan_in))
    small = np.float32(0.1) * n
    if last == "gamma":
        return 1 + small
    return 1 + np.abs(small) if last == "softmax_beta" else small


def cornet_tensor(name: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    n = generator(name).standard_normal(shape, dtype=np.float32)
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if len(shape) >= 2:
        return n * np.float32(gain / np.sqrt(np.prod(shape[1:])))
    small = np.float32(0.1) * n
    if last == "running_var":
        return 1 + np.abs(small)
    return 1 + small if last == "weight" else small


def shape_of(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split(",")) if text else ()
