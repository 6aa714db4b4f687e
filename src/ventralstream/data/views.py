"""What each image goes through in an epoch, drawn for itself, and done to whole batches on their device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ventralstream.data.augment import Augment
from ventralstream.data.pixels import seed_of

_RATIO = math.log(4 / 3)  # the widest of the parts that are cut out, as the logarithm of width / height
_SHIFT, _FLIP, _HOLE, _BOX = range(4)  # what is drawn: each has numbers of its own


@dataclass(frozen=True)
class Views:
    """What some images go through.

    Attributes:
        box: `[B, 4]`, float64 in 0..1, on the CPU, from which follows the part to be cut out (`part_of`).
        shift: `[B, 2]`, int64, from -crop to crop: by how many rows and columns what is shown lies further in.
        mirrored: `[B]`, bool.
        hole: `[B, 2]`, int64: row and column around which the square of `cutout` lies.
    """

    box: Tensor
    shift: Tensor
    mirrored: Tensor
    hole: Tensor

    def __getitem__(self, some: slice) -> Self:
        """Of some of the images."""
        return type(self)(self.box[some], self.shift[some], self.mirrored[some], self.hole[some])

    def to(self, device: torch.device) -> Self:
        """The same on a device, but for `box`: not every device knows float64."""
        return type(self)(self.box, self.shift.to(device), self.mirrored.to(device), self.hole.to(device))


def draw_views(augment: Augment, rows: Tensor, size: tuple[int, int], seed: int, epoch: int) -> Views:
    """Draws what images go through in an epoch: of each, a function of its row, `seed` and `epoch` alone.

    Args:
        augment: What is done.
        rows: `[B]`, int64, on the CPU: which images of the set, 0 or more.
        size: Their height and width in pixels.
        seed: 0 or more.
        epoch: 0 or more.
    """
    counters = rows.numpy().astype(np.uint64)

    def draw(what: int, count: int, *key: int) -> NDArray[Any]:
        return np.stack([_uniform(counters, seed_of(*key, what, i)) for i in range(count)], axis=-1)

    shift = np.floor(draw(_SHIFT, 2, seed, epoch) * (2 * augment.crop + 1)) - augment.crop
    if augment.flip == "alternating":
        mirrored = (draw(_FLIP, 1, seed)[:, 0] < 0.5) ^ bool(epoch % 2)
    else:
        mirrored = (draw(_FLIP, 1, seed, epoch)[:, 0] < 0.5) & (augment.flip == "random")
    hole = np.floor(draw(_HOLE, 2, seed, epoch) * size)
    box = draw(_BOX, 4, seed, epoch)
    return Views(*map(torch.from_numpy, (box, shift.astype(np.int64), mirrored, hole.astype(np.int64))))


def _uniform(counters: NDArray[np.uint64], key: int) -> NDArray[Any]:
    """Float64 in [0, 1): those that SplitMix64 (Steele, Lea & Flood 2014), seeded with `key`, gives at `counters`."""
    x = (counters + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)) * 2.0**-53


def augmented(images: Tensor, augment: Augment, views: Views, fill: Sequence[float]) -> Tensor:
    """A batch as an epoch shows it, but for `part`, which is `resampled`'s.

    Args:
        images: `[B, C, H, W]`, of any type.
        augment: What is done.
        views: Of these images, on their device.
        fill: The mean colour: C numbers, as the images'.

    Returns:
        `[B, C, H, W]`, of the same type.
    """
    channels, height, width = images.shape[1:]
    if augment.crop or augment.flip != "none":
        y, x = (torch.arange(n, device=images.device) for n in (height, width))
        columns = torch.where(views.mirrored[:, None], width - 1 - x, x)
        at_y = _reflected(y + views.shift[:, :1], height)
        at_x = _reflected(columns + views.shift[:, 1:], width)
        pixels = (at_y[:, :, None] * width + at_x[:, None, :]).view(len(images), 1, -1)
        images = images.flatten(2).gather(2, pixels.expand(-1, channels, -1)).view(images.shape)
    if augment.cutout:
        side = torch.arange(augment.cutout, device=images.device) - augment.cutout // 2
        at_y, at_x = (
            (views.hole[:, i : i + 1] + side).clamp(0, n - 1)  # beyond the border: the border, which lies in it too
            for i, n in enumerate((height, width))
        )
        pixels = (at_y[:, :, None] * width + at_x[:, None, :]).view(len(images), 1, -1).expand(-1, channels, -1)
        colour = torch.tensor(fill, device=images.device).to(images.dtype).view(-1, 1).expand(pixels.shape)
        images = images.flatten(2).scatter(2, pixels, colour).view(images.shape)
    return images


def _reflected(at: Tensor, size: int) -> Tensor:
    """Positions beyond the border, by fewer than `size` pixels, as those of the reflection."""
    return size - 1 - (size - 1 - at.abs()).abs()


def part_of(size: tuple[int, int], augment: Augment, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """The parts of images that are shown as a whole: first row and column, height and width, in pixels.

    What would be wider or higher than the image is cut to it (our choice: there is nothing to draw again).

    Args:
        size: The images' height and width in pixels.
        augment: What is done.
        box: Of these images' views, `[..., 4]`.

    Returns:
        `[..., 4]`, float64.
    """
    width_to_height = np.exp((2 * box[..., 1] - 1) * _RATIO)
    pixels = (augment.part + (1 - augment.part) * box[..., 0]) * (size[0] * size[1])
    sides = np.stack([np.sqrt(pixels / width_to_height), np.sqrt(pixels * width_to_height)], -1)
    sides = np.maximum(np.minimum(sides, size), 1)
    return np.concatenate([box[..., 2:] * (np.array(size) - sides), sides], -1)


def resampled(images: Tensor, parts: Tensor) -> Tensor:
    """Resizes a part of each image to the whole: bilinear and antialiased, as Pillow does it for one.

    Args:
        images: `[B, C, H, W]`, uint8 or floats.
        parts: `[B, 4]`, float64 on the CPU, as `part_of` gives them.

    Returns:
        `[B, C, H, W]`, of the same type.
    """
    height, width = images.shape[2:]
    rows, columns = (
        _weights(parts[:, i], parts[:, i + 2], size, images.device) for i, size in enumerate((height, width))
    )
    out = rows[:, None] @ images.to(rows.dtype) @ columns[:, None].mT
    return out.round().to(images.dtype) if images.dtype == torch.uint8 else out.to(images.dtype)


def _weights(first: Tensor, extent: Tensor, size: int, device: torch.device) -> Tensor:
    """What each of `size` pixels takes of each: `[B, size, size]`, float32; a triangle at least a pixel wide."""
    scale = extent / size
    width = scale.clamp(min=1)
    width, centre, step = (
        x.float().to(device)[:, None, None] for x in (width, (first + 0.5 * scale) / width, scale / width)
    )
    pixel = torch.arange(size, device=device, dtype=torch.float32)
    weights = (pixel + 0.5) / width - (centre + step * pixel[:, None])
    weights = weights.abs_().neg_().add_(1).clamp_(min=0)
    return weights.div_(weights.sum(-1, keepdim=True))
