"""What a trace measures of activity: how far it moves, small maps, one picture of many channels, selectivity."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]
SIDE = 28  # pixels of a map's longer side


def change_of(values: Tensor) -> Tensor:
    """How far each step's activity [T, N] is from the one before, in units of the larger of the two: [T-1], 0 to 2."""
    size = values.norm(dim=1)
    larger = torch.maximum(size[1:], size[:-1])
    return torch.where(larger > 0, (values[1:] - values[:-1]).norm(dim=1) / larger.clamp(min=1e-30), 0.0)


def small(maps: Tensor) -> Tensor:
    """Maps [T, C, H, W] averaged down to at most SIDE pixels a side, their proportions kept."""
    height, width = maps.shape[-2:]
    if max(height, width) <= SIDE:
        return maps
    scale = SIDE / max(height, width)
    return F.adaptive_avg_pool2d(maps, (max(1, round(height * scale)), max(1, round(width * scale))))


def picture_of(maps: Tensor) -> Tensor:
    """One picture a step: the mean over channels, or the channels themselves side by side where they are no maps."""
    if maps.shape[-2:] != (1, 1):
        return maps.mean(1)
    channels = maps.shape[1]
    rows = max(1, round(math.sqrt(channels)))
    rows = next((r for r in range(rows, 0, -1) if channels % r == 0 and channels / r <= 3 * r), rows)
    columns = math.ceil(channels / rows)
    padded = F.pad(maps[:, :, 0, 0], (0, rows * columns - channels), value=float("nan"))
    return padded.view(-1, rows, columns)


def sparseness(channels: Floats) -> Floats:
    """How selective each channel is among the images: the lifetime sparseness of Vinje and Gallant (2000).

    Args:
        channels: Mean activity [image, step, channel], NaN before the area exists. Taken is each image's mean over
            time, what is negative being no activity.

    Returns:
        [channel], 0 (the same to all images) to 1 (to one image only); NaN for fewer than three images, or no activity.
    """
    rates = np.maximum(np.nanmean(channels, axis=1), 0)
    n = len(rates)
    power = (rates**2).mean(0)
    if n < 3:
        return np.full(power.shape, np.nan, np.float32)
    alike = np.divide(rates.mean(0) ** 2, power, out=np.full(power.shape, np.nan, np.float32), where=power > 0)
    result: Floats = (1 - alike) / (1 - 1 / n)
    return result
