"""Handwritten digits in clutter: a small task with work for recurrence, and nothing to download.

Real scans (scikit-learn carries 1797 of them, 8x8 pixels) are set into grey-scale scenes, in the spirit of
the "digit debris" and "digit clutter" of Spoerer, McClure & Kriegeskorte (2017). The target is the one large
digit around the centre; fragments of other digits lie behind it and, occluding it, in front. Sizes, numbers
and grey levels are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ventralstream.errors import VentralError, unknown

MEAN, STD = 0.30, 0.24  # of the pixels (in 0..1) of training scenes of clutter 0 to 3

_SPLITS = ("train", "test")
_BEHIND, _IN_FRONT = 2, 1  # fragments that each level of clutter adds
_OUTLINE = 3  # width in pixels of the dark rim by which the nearer of two things is told from the farther


@dataclass(frozen=True)
class Scenes:
    """Scenes and what is in them.

    Attributes:
        images: `[N, 1, size, size]`, uint8.
        labels: `[N]`, int64, the target digit 0-9.
        clutter: `[N]`, int64, the level of clutter of each scene.
    """

    images: Tensor
    labels: Tensor
    clutter: Tensor


def compose_scenes(
    count: int,
    *,
    split: Literal["train", "test"],
    clutter: int | Sequence[int] = 0,
    seed: int = 0,
    size: int = 32,
) -> Scenes:
    """Composes scenes; equal arguments give equal scenes.

    The two splits share no scan, neither as targets nor as clutter. With the same seed a scene keeps its
    target and its fragments when its level of clutter is raised: more are added.

    Args:
        count: Number of scenes.
        split: Which scans to use: "train" (1347 of them) or "test" (450).
        clutter: Level of clutter, 0 (none) or more; of several levels, each scene draws one.
        seed: Seed of everything that is random, 0 or more.
        size: Height and width of a scene in pixels, 16 or more.

    Returns:
        The scenes.

    Raises:
        VentralError: An argument is out of its range.
    """
    levels = [clutter] if isinstance(clutter, int) else list(clutter)
    if split not in _SPLITS:
        raise unknown("split", split, _SPLITS, " of the scenes")
    if count < 1 or size < 16 or seed < 0:
        raise VentralError(
            f"scenes need a count of 1, a size of 16 and a seed of 0 or more, got {count}, {size} and {seed}."
        )
    if not levels or min(levels) < 0:
        raise VentralError(f"clutter must be a level of 0 or more, or several such levels, got {clutter!r}.")

    scans, digits = _scans(split)
    key = (seed, _SPLITS.index(split))
    rng = np.random.default_rng((*key, 0))
    target = torch.from_numpy(rng.integers(len(scans), size=count))
    background = _uniform(rng, (count, 1, 1, 1), 0.0, 0.25)
    brightness = _uniform(rng, (count, 1, 1, 1), 0.6, 1.0)
    pose = _pose(rng, count, scale=(0.7, 0.85), shift=0.2)
    level = torch.from_numpy(np.random.default_rng((*key, 1)).choice(levels, count)).long()

    def add_fragments(image: Tensor, layer: int, per_level: int) -> None:
        # One generator for each fragment, so that what it draws does not depend on how many there are.
        for i in range(per_level * max(levels)):
            here = (level > i // per_level).nonzero().flatten()
            if len(here) == 0:  # possible where each scene draws its level
                break
            fragment = _fragments(np.random.default_rng((*key, layer, i)), scans, count)
            image[here] = _paint(image[here], *(part[here] for part in fragment))

    image = background.repeat(1, 1, size, size)
    add_fragments(image, 2, _BEHIND)
    image = _paint(image, scans[target], pose, brightness)
    add_fragments(image, 3, _IN_FRONT)
    return Scenes(image.mul(255).round().to(torch.uint8), digits[target], level)


@cache
def _scans(split: str) -> tuple[Tensor, Tensor]:
    """The scans of one split `[n, 1, 8, 8]`, ink in 0..1, and their digits `[n]`; stratified and fixed."""
    from sklearn.datasets import load_digits  # slow to import, and only scenes need it
    from sklearn.model_selection import train_test_split

    images, digits = load_digits(return_X_y=True)
    rows = train_test_split(np.arange(len(digits)), test_size=0.25, stratify=digits, random_state=0)
    chosen = np.sort(rows[_SPLITS.index(split)])
    ink = torch.from_numpy(images[chosen]).float().div(16).view(-1, 1, 8, 8)
    return ink, torch.from_numpy(digits[chosen]).long()


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return torch.from_numpy(rng.uniform(low, high, shape)).float()


def _pose(rng: np.random.Generator, count: int, scale: tuple[float, float], shift: float, turn: float = 0.15) -> Tensor:
    """Draws the affine maps `[count, 2, 3]` from scene to scan that `F.affine_grid` takes.

    `scale` is the width of a scan in scenes, `shift` how far its centre lies at most from the scene's (in
    half scenes), and `turn` the largest rotation in radians.
    """
    zoom = 1 / _uniform(rng, (count,), *scale)
    x, y = _uniform(rng, (2, count), -shift, shift)
    angle = _uniform(rng, (count,), -turn, turn)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    return torch.stack([cos, sin, -(cos * x + sin * y), -sin, cos, sin * x - cos * y], 1).view(-1, 2, 3)


def _fragments(rng: np.random.Generator, scans: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draws a fragment for each scene: 3 or 4 by 3 or 4 pixels of a scan, a pose and a grey level."""
    pixel = torch.arange(8)
    corner = torch.from_numpy(rng.integers(1, 5, (2, count, 1)))
    extent = torch.from_numpy(rng.integers(3, 5, (2, count, 1)))
    rows, columns = (pixel >= corner) & (pixel < corner + extent)
    ink = scans[torch.from_numpy(rng.integers(len(scans), size=count))]
    ink = ink * (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
    pose = _pose(rng, count, scale=(0.6, 0.75), shift=0.8, turn=3.2)
    return ink, pose, _uniform(rng, (count, 1, 1, 1), 0.4, 0.9)


def _paint(image: Tensor, ink: Tensor, pose: Tensor, brightness: Tensor) -> Tensor:
    """Paints scans `[n, 1, 8, 8]`, enlarged and opaque, with a rim, over scenes `[n, 1, size, size]`."""
    grid = F.affine_grid(pose, list(image.shape), align_corners=False)
    opacity = F.grid_sample(ink, grid, align_corners=False).mul(1.3).clamp(max=1)
    rim = F.max_pool2d(opacity, _OUTLINE, stride=1, padding=_OUTLINE // 2)
    return image * (1 - rim) + brightness * opacity
