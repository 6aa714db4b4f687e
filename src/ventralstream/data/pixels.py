"""Whole batches of pixels as models read them; and seeds of what is random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
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


def seed_of(*key: int) -> int:
    """Mixes a key of whole numbers of 0 or more, such as (seed, epoch, batch), into one seed."""
    # The length goes in too: NumPy pads keys with zeros, so that (1, 2) and (1, 2, 0) would be one seed.
    return int(np.random.SeedSequence((len(key), *key)).generate_state(1, np.uint64)[0])


def generator(*key: int) -> torch.Generator:
    """A CPU generator that depends on nothing but `key`."""
    return torch.Generator().manual_seed(seed_of(*key))
