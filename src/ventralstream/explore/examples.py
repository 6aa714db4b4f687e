"""Example images in the box: digits in clutter for networks that read grey, little drawings for those that read colour.

Both are drawn here; the digits are scans of scikit-learn's set. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ventralstream.data.folder import Preprocessing
from ventralstream.data.scenes import compose_scenes
from ventralstream.spec import NetworkSpec

CLUTTER = (0, 0, 1, 1, 2, 2, 3, 3)  # of the example scenes, which the network never saw
FIRST = 4  # of them, which is shown first: the network takes this one for something else before it knows
SEED = 10  # of 24 tried the one in which the example network changes its mind most often, so not typical
_SIDE = 128  # pixels of a drawing

Pen = ImageDraw.ImageDraw


@dataclass(frozen=True)
class Pictures:
    """Images to be shown to a network.

    Attributes:
        pixels: [N, channels, height, width], uint8.
        names: What each is called.
        truths: What each shows, in the words of the network's classes; "" where it has no word for it.
        source: Where they are from.
    """

    pixels: Tensor
    names: tuple[str, ...]
    truths: tuple[str, ...]
    source: str


def examples(spec: NetworkSpec, class_names: Sequence[str] = ()) -> Pictures:
    """The example images for a network.

    Args:
        spec: The network's.
        class_names: Its classes.
    """
    channels, size = spec.input_shape[0], spec.input_shape[1]
    found = _digits(size) if channels == 1 else _drawings(size)
    known = tuple(truth if truth in class_names else "" for truth in found.truths)
    return Pictures(found.pixels, found.names, known, found.source)


def preprocessing(spec: NetworkSpec) -> Preprocessing:
    """How image files become what a network reads: the whole image, squashed to its nominal size."""
    return Preprocessing(spec.input_shape[1], spec.mean, spec.std, "squash")


def _digits(size: int) -> Pictures:
    pixels, truths = [], []
    for place, level in enumerate(CLUTTER):
        scenes = compose_scenes(len(CLUTTER), split="test", clutter=level, seed=SEED, size=max(size, 16))
        pixels.append(scenes.images[place])
        truths.append(str(int(scenes.labels[place])))
    names = [f"{t}, clutter {c}" if c else f"{t}, alone" for t, c in zip(truths, CLUTTER, strict=True)]
    order = sorted(range(len(names)), key=lambda place: place != FIRST)
    named, true = (tuple(words[place] for place in order) for words in (names, truths))
    return Pictures(torch.stack(pixels)[order], named, true, "digits of scikit-learn, in clutter")


def _drawings(size: int) -> Pictures:
    pixels = []
    for i, draw in enumerate(_DRAWN.values()):
        image = Image.fromarray(_ground(i))
        draw(ImageDraw.Draw(image))
        image = image.resize((size, size), Image.Resampling.BICUBIC)
        pixels.append(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1))
    return Pictures(torch.stack(pixels), tuple(_DRAWN), tuple(_DRAWN), "drawn by ventralstream")


_GROUNDS = {  # above and below the horizon, of each drawing
    "airplane": ((120, 170, 225), (190, 215, 240), 1.0),
    "ship": ((170, 200, 230), (30, 80, 130), 0.55),
    "automobile": ((185, 200, 210), (110, 110, 112), 0.6),
    "truck": ((200, 205, 205), (120, 115, 108), 0.65),
    "bird": ((225, 230, 225), (120, 150, 90), 0.8),
    "horse": ((165, 195, 220), (105, 140, 70), 0.55),
    "deer": ((120, 140, 95), (85, 105, 55), 0.5),
    "frog": ((70, 95, 60), (110, 125, 80), 0.4),
}


def _ground(index: int) -> np.ndarray:
    """Sky and ground with some grain, so that no place is flat."""
    above, below, horizon = list(_GROUNDS.values())[index]
    rng = np.random.default_rng(index)
    rows = np.arange(_SIDE)[:, None, None] / _SIDE
    sky = np.array(above) + (rows / max(horizon, 0.01)) * 22
    land = np.array(below) - (rows - horizon) * 40
    grain = rng.normal(0, 6, (_SIDE, _SIDE, 1)) + np.repeat(np.repeat(rng.normal(0, 7, (16, 16, 1)), 8, 0), 8, 1)
    return np.clip(np.where(rows < horizon, sky, land) + grain, 0, 255).astype(np.uint8)


def _airplane(pen: Pen) -> None:
    body, shade = (232, 234, 238), (150, 156, 168)
    pen.polygon([(58, 66), (84, 66), (54, 104), (44, 104)], fill=shade)
    pen.polygon([(62, 60), (78, 60), (60, 34), (52, 34)], fill=shade)
    pen.polygon([(10, 62), (24, 56), (104, 56), (120, 63), (104, 72), (26, 70)], fill=body)
    pen.polygon([(12, 62), (8, 36), (18, 36), (32, 58)], fill=(60, 90, 160))
    pen.line([(30, 62), (102, 62)], fill=(90, 100, 120), width=2)


def _ship(pen: Pen) -> None:
    pen.polygon([(14, 74), (116, 74), (102, 96), (28, 96)], fill=(120, 30, 30))
    pen.rectangle([16, 68, 114, 75], fill=(235, 235, 235))
    pen.rectangle([40, 50, 90, 68], fill=(240, 240, 240))
    pen.rectangle([50, 38, 78, 50], fill=(225, 225, 230))
    pen.rectangle([60, 22, 70, 38], fill=(200, 60, 40))
    pen.line([(30, 68), (30, 36)], fill=(80, 80, 80), width=2)


def _automobile(pen: Pen) -> None:
    red, glass = (190, 30, 35), (60, 75, 90)
    pen.ellipse([8, 92, 120, 104], fill=(60, 60, 62))
    pen.polygon([(10, 80), (28, 72), (44, 52), (86, 52), (102, 72), (118, 78), (118, 92), (10, 92)], fill=red)
    pen.polygon([(36, 70), (48, 56), (64, 56), (64, 70)], fill=glass)
    pen.polygon([(68, 70), (68, 56), (84, 56), (96, 70)], fill=glass)
    for x in (32, 94):
        pen.ellipse([x - 13, 80, x + 13, 106], fill=(25, 25, 28))
        pen.ellipse([x - 6, 87, x + 6, 99], fill=(190, 190, 195))


def _truck(pen: Pen) -> None:
    pen.rectangle([36, 30, 122, 88], fill=(235, 235, 228))
    pen.rectangle([38, 32, 120, 40], fill=(200, 90, 30))
    pen.polygon([(4, 62), (14, 44), (34, 44), (34, 92), (4, 92)], fill=(30, 80, 160))
    pen.polygon([(9, 61), (17, 48), (30, 48), (30, 61)], fill=(180, 205, 220))
    for x in (20, 78, 104):
        pen.ellipse([x - 12, 82, x + 12, 106], fill=(22, 22, 24))
        pen.ellipse([x - 5, 89, x + 5, 99], fill=(170, 170, 170))


def _bird(pen: Pen) -> None:
    brown, breast = (110, 75, 45), (205, 120, 60)
    pen.line([(4, 104), (124, 96)], fill=(85, 65, 45), width=6)
    pen.polygon([(30, 78), (4, 96), (10, 102), (42, 90)], fill=(80, 55, 35))
    pen.ellipse([28, 46, 92, 98], fill=brown)
    pen.pieslice([44, 50, 94, 100], -60, 110, fill=breast)
    pen.ellipse([70, 26, 104, 60], fill=brown)
    pen.polygon([(102, 40), (120, 45), (102, 50)], fill=(230, 180, 60))
    pen.ellipse([88, 36, 95, 43], fill=(15, 15, 15))
    pen.line([(56, 96), (54, 104)], fill=(60, 45, 30), width=3)
    pen.line([(68, 96), (68, 103)], fill=(60, 45, 30), width=3)


def _horse(pen: Pen) -> None:
    coat, dark = (120, 72, 40), (50, 30, 20)
    for x in (38, 48, 78, 88):
        pen.polygon([(x, 72), (x + 9, 72), (x + 6, 114), (x, 114)], fill=coat)
        pen.rectangle([x, 110, x + 6, 115], fill=dark)
    pen.ellipse([28, 46, 98, 86], fill=coat)
    pen.polygon([(80, 64), (92, 26), (106, 24), (98, 66)], fill=coat)
    pen.polygon([(90, 20), (110, 20), (124, 42), (116, 48), (96, 38)], fill=coat)
    pen.polygon([(84, 52), (90, 20), (98, 18), (92, 52)], fill=dark)
    pen.polygon([(30, 56), (16, 96), (24, 96), (36, 66)], fill=dark)
    pen.ellipse([106, 27, 110, 31], fill=(10, 10, 10))


def _deer(pen: Pen) -> None:
    coat = (165, 115, 70)
    for x in (42, 50, 80, 88):
        pen.polygon([(x, 74), (x + 6, 74), (x + 4, 116), (x, 116)], fill=(135, 92, 55))
    pen.ellipse([34, 52, 96, 84], fill=coat)
    pen.ellipse([32, 54, 44, 68], fill=(240, 235, 225))
    pen.polygon([(84, 64), (94, 34), (104, 34), (98, 66)], fill=coat)
    pen.polygon([(92, 30), (108, 28), (120, 42), (112, 48), (96, 42)], fill=coat)
    for side in (-1, 1):
        x = 100 + 5 * side
        pen.line([(x, 30), (x + 8 * side, 8)], fill=(90, 65, 40), width=3)
        pen.line([(x + 3 * side, 20), (x + 12 * side, 18)], fill=(90, 65, 40), width=3)
    pen.ellipse([106, 33, 110, 37], fill=(10, 10, 10))


def _frog(pen: Pen) -> None:
    skin, light = (70, 130, 45), (150, 180, 90)
    pen.ellipse([8, 64, 52, 112], fill=(60, 112, 40))
    pen.ellipse([76, 64, 120, 112], fill=(60, 112, 40))
    pen.ellipse([26, 40, 102, 110], fill=skin)
    pen.ellipse([38, 74, 90, 110], fill=light)
    for x in (40, 88):
        pen.ellipse([x - 13, 26, x + 13, 52], fill=skin)
        pen.ellipse([x - 8, 30, x + 8, 46], fill=(230, 200, 70))
        pen.ellipse([x - 4, 33, x + 4, 44], fill=(10, 10, 10))
    pen.arc([40, 46, 88, 80], 20, 160, fill=(35, 70, 25), width=3)


_DRAWN: dict[str, Callable[[Pen], None]] = {
    "airplane": _airplane,
    "ship": _ship,
    "automobile": _automobile,
    "truck": _truck,
    "bird": _bird,
    "horse": _horse,
    "deer": _deer,
    "frog": _frog,
}
