"""Images in a folder: listed once, then read batch by batch in bounded memory, from any position on."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import functional as V

from ventralstream.data.pixels import normalise
from ventralstream.errors import VentralError
from ventralstream.jsonable import Spec, tagged
from ventralstream.values import Pixels, Real, Spread

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

A = TypeVar("A")
B = TypeVar("B")


@tagged("preprocessing")
@dataclass(frozen=True)
class Preprocessing(Spec):
    """From an image of any size and mode to what a model reads.

    Attributes:
        size: Height and width given, in pixels.
        mean: Mean of the pixels in 0..1, one for each channel: 3 for colour, 1 for grey.
        std: Their standard deviation.
        resize: "crop": the shorter side becomes `size` * 256 / 224, then the central square is cut out (the
            usual evaluation on ImageNet). "squash": the whole image, its aspect ratio not kept; an image that
            has the right size already stays as it is.
    """

    size: Pixels = 224
    mean: tuple[Real, ...] = IMAGENET_MEAN
    std: tuple[Spread, ...] = IMAGENET_STD
    resize: Literal["crop", "squash"] = "crop"

    def check(self) -> None:
        """Raises VentralError if the fields do not go together."""
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean):
            raise VentralError(
                f"preprocessing needs a mean and a std for each of 1 or 3 channels; got {self.mean} and {self.std}"
            )

    @property
    def channels(self) -> int:
        """Number of channels: 3 (colour) or 1 (grey)."""
        return len(self.mean)

    def pixels(self, image: Image.Image) -> Tensor:
        """Resizes (bilinear, antialiased) and cuts an image: uint8 `[channels, size, size]`."""
        if self.resize == "squash":
            image = V.resize(image, [self.size, self.size])
        else:
            image = V.center_crop(V.resize(image, [round(self.size * 256 / 224)]), [self.size, self.size])
        pixels: Tensor = V.pil_to_tensor(image)
        return pixels

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalises uint8 `[B, channels, H, W]` to float32 of the same shape."""
        return normalise(pixels, self.mean, self.std)


class Skipped(NamedTuple):
    """An image that could not be read, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Some images of a folder.

    Attributes:
        images: `[B, channels, size, size]`, float32, normalised; B is 0 if none could be read.
        ids: The B stimulus ids.
        skipped: The images of this batch that could not be read.
    """

    images: Tensor
    ids: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def list_images(folder: str | Path) -> list[str]:
    """Lists the images below a folder, at any depth, by the endings of their names.

    Args:
        folder: Where to look; symbolic links are followed.

    Returns:
        Their stimulus ids, sorted: the paths relative to `folder`, with forward slashes.

    Raises:
        VentralError: There is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        kind = "is a file, not a folder" if folder.exists() else "does not exist"
        raise VentralError(f"the image folder '{folder}' {kind}.")
    found = []
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        here = Path(parent)
        # A link to a folder around this one would be walked for ever.
        subfolders[:] = [s for s in subfolders if not here.resolve().is_relative_to((here / s).resolve())]
        found += [here / name for name in files if name.lower().endswith(EXTENSIONS)]
    if not found:
        raise VentralError(f"'{folder}' holds no image: no file below it ends in {', '.join(EXTENSIONS)}.")
    return sorted(path.relative_to(folder).as_posix() for path in found)


def open_image(path: Path, channels: int) -> Image.Image:
    """Decodes one image file.

    Args:
        path: The file.
        channels: 3 for RGB, 1 for grey.

    Returns:
        The image, 8 bits a channel; transparency is dropped, and 16-bit grey is scaled to 8 bits.

    Raises:
        VentralError: It cannot be read.
    """
    try:
        with Image.open(path) as image:
            return _to_8_bits(image).convert("RGB" if channels == 3 else "L")
    except UnidentifiedImageError:
        reason = "it is not an image"
    except Exception as error:  # decoders fail in many ways: OSError, SyntaxError, ValueError, struct.error, ...
        reason = str(error) or type(error).__name__
    raise VentralError(f"cannot read '{path}': {reason}.")


def read_batches(
    folder: str | Path,
    ids: Sequence[str],
    batch_size: int,
    preprocessing: Preprocessing,
    *,
    start: int = 0,
    workers: int = 2,
) -> Iterator[Batch]:
    """Reads images in the order given, at most two batches of them in memory at a time.

    Every batch stands for the next `batch_size` ids, read or skipped, so that after k batches
    the next position is `start + k * batch_size`.

    Args:
        folder: The folder that `ids` are relative to.
        ids: From `list_images`.
        batch_size: Number of ids to a batch; the last may have fewer.
        preprocessing: Size, cut and normalisation.
        start: Position in `ids` of the first to read.
        workers: Number of threads that decode ahead; with 0 each image is read when it is asked for.

    Yields:
        The batches.

    Raises:
        VentralError: There is no such folder, an argument is out of its range, or, at the end of a pass from
            position 0, not one image could be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VentralError(f"the image folder '{folder}' does not exist.")
    if not ids:
        raise VentralError(f"there is no image of '{folder}' to read: the list of ids is empty.")
    if batch_size < 1 or workers < 0 or not 0 <= start <= len(ids):
        raise VentralError(
            "reading needs a batch size of 1 or more, 0 or more workers and a start among the "
            f"{len(ids)} images, got {batch_size}, {workers} and {start}."
        )
    return _read_batches(folder, ids, batch_size, preprocessing, start, workers)


def _read_batches(
    folder: Path, ids: Sequence[str], batch_size: int, preprocessing: Preprocessing, start: int, workers: int
) -> Iterator[Batch]:
    def read(id_: str) -> Tensor | Skipped:
        try:
            return preprocessing.pixels(open_image(folder / id_, preprocessing.channels))
        except VentralError as error:
            return Skipped(id_, str(error))

    nothing = torch.zeros((0, preprocessing.channels, preprocessing.size, preprocessing.size), dtype=torch.uint8)
    outcomes = _map_ahead(read, (ids[i] for i in range(start, len(ids))), workers, ahead=batch_size)
    readable = 0
    for first in range(start, len(ids), batch_size):
        batch = [(id_, next(outcomes)) for id_ in ids[first : first + batch_size]]
        pixels = [x for _, x in batch if isinstance(x, Tensor)]
        read_ids = tuple(id_ for id_, x in batch if isinstance(x, Tensor))
        skipped = tuple(x for _, x in batch if isinstance(x, Skipped))
        readable += len(pixels)
        yield Batch(preprocessing.normalise(torch.stack(pixels) if pixels else nothing), read_ids, skipped)
    if start == 0 and readable == 0:
        raise VentralError(f"none of the {len(ids)} images in '{folder}' can be read; e.g. {skipped[0].reason}")


def _map_ahead(function: Callable[[A], B], items: Iterable[A], workers: int, ahead: int) -> Iterator[B]:
    """`map` in order, in threads that never run more than `ahead` items ahead of the consumer."""
    if workers == 0:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers)
    pending: deque[Future[B]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scales 16-bit grey, which Pillow would clip to white; refuses pixels of no known range."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of 32 bits (mode '{image.mode}'), expected 8 or 16")
    return image
