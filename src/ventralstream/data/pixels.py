"""Whole batches of pixels: normalised, and augmented by shifts and reflections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turns 0..255 into what models read: `(x / 255 - mean) / std`, channel by channel.

    Args:
        images: `[B, C, H, W]`, uint8.
        mean: C means of pixels in 0..1.
        std: C standard deviations of them.

    Returns:
        `[B, C, H, W]`, float32.
    """
    shift = torch.tensor(mean, device=images.device).view(-1, 1, 1)
    scale = torch.tensor(std, device=images.device).view(-1, 1, 1)
    return images.float().div_(255).sub_(shift).div_(scale)


def random_crop(images: Tensor, padding: int, rng: torch.Generator) -> Tensor:
    """Shifts each image by up to `padding` pixels; what comes in from outside is black (0).

    Args:
        images: `[B, C, H, W]`.
        padding: Largest shift in pixels, in each direction.
        rng: On the CPU, so that the shifts are the same whatever device the images are on.

    Returns:
        `[B, C, H, W]`.
    """
    batch, _, height, width = images.shape
    windows = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    y, x = torch.randint(2 * padding + 1, (2, batch), generator=rng).to(images.device)
    return windows[torch.arange(batch, device=images.device), :, y, x]


def random_flip(images: Tensor, rng: torch.Generator) -> Tensor:
    """Reflects each image left to right with probability one half.

    Args:
        images: `[B, C, H, W]`.
        rng: On the CPU, so that the choice is the same whatever device the images are on.

    Returns:
        `[B, C, H, W]`.
    """
    flip = torch.rand(len(images), generator=rng).lt(0.5).to(images.device)
    return torch.where(flip.view(-1, 1, 1, 1), images.flip(-1), images)


def seed_of(*key: int) -> int:
    """Mixes a key of whole numbers of 0 or more, such as (seed, epoch, batch), into one seed."""
    # The length goes in too: NumPy pads keys with zeros, so that (1, 2) and (1, 2, 0) would be one seed.
    return int(np.random.SeedSequence((len(key), *key)).generate_state(1, np.uint64)[0])


def generator(*key: int) -> torch.Generator:
    """A CPU generator that depends on nothing but `key`."""
    return torch.Generator().manual_seed(seed_of(*key))
