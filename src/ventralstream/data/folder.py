"""Images in a folder, read batch by batch in bounded memory, from any position on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import torch
from PIL import Image
from torch import Tensor

from ventralstream.budget import check_memory
from ventralstream.data.image_file import MAX_PIXELS, open_image
from ventralstream.data.listing import list_images, require_folder
from ventralstream.data.pixels import normalise
from ventralstream.errors import VentralError, printable
from ventralstream.jsonable import Spec, tagged
from ventralstream.values import Pixels, Real, Spread

__all__ = ["Batch", "Preprocessing", "Skipped", "list_images", "open_image", "read_batches"]

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
            usual evaluation on ImageNet). "squash": the whole image, its aspect ratio not kept. With either, an
            image that has the right size already stays as it is.
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
        """Resizes (bilinear, antialiased) and cuts an image: uint8 `[channels, size, size]`.

        Raises:
            VentralError: With its shorter side resized, the image would have more than `MAX_PIXELS`.
        """
        from torchvision.transforms.v2 import functional as V  # takes seconds to import

        if image.size == (self.size, self.size):
            pass
        elif self.resize == "squash":
            image = V.resize(image, [self.size, self.size])
        else:
            side = round(self.size * 256 / 224)
            resized = side * side * max(image.size) // min(image.size)
            if resized > MAX_PIXELS:
                raise VentralError(
                    f"an image of {image.width} x {image.height} pixels whose shorter side becomes {side} has"
                    f" {resized:,} pixels, more than {MAX_PIXELS:,} (resize='squash' takes the whole image)."
                )
            image = V.center_crop(V.resize(image, [side]), [self.size, self.size])
        pixels: Tensor = V.pil_to_tensor(image)
        return pixels

    def read(self, path: Path) -> Tensor:
        """Reads an image file: uint8 `[channels, size, size]`.

        Raises:
            VentralError: It cannot be read; see `open_image`.
        """
        image = open_image(path, self.channels)
        try:
            return self.pixels(image)
        except VentralError as error:
            raise VentralError(f"cannot read '{printable(path)}': {error}") from None

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
            position 0, not one image could be read; or a batch would not fit into memory.
    """
    folder = Path(folder)
    require_folder(folder)
    if not ids:
        raise VentralError(f"there is no image of '{folder}' to read: the list of ids is empty.")
    if batch_size < 1 or workers < 0 or not 0 <= start <= len(ids):
        raise VentralError(
            "reading needs a batch size of 1 or more, 0 or more workers and a start among the "
            f"{len(ids)} images, got {batch_size}, {workers} and {start}."
        )
    images, size = min(batch_size, len(ids)), preprocessing.size
    check_memory(4 * images * preprocessing.channels * size**2, f"{images} images of {size} x {size} pixels")
    return _read_batches(folder, ids, batch_size, preprocessing, start, workers)


def _read_batches(
    folder: Path, ids: Sequence[str], batch_size: int, preprocessing: Preprocessing, start: int, workers: int
) -> Iterator[Batch]:
    def read(id_: str) -> Tensor | Skipped:
        try:
            return preprocessing.read(folder / id_)
        except VentralError as error:
            return Skipped(id_, str(error))

    nothing = torch.zeros((0, preprocessing.channels, preprocessing.size, preprocessing.size), dtype=torch.uint8)
    outcomes = map_ahead(read, (ids[i] for i in range(start, len(ids))), workers, ahead=batch_size)
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


def map_ahead(function: Callable[[A], B], items: Iterable[A], workers: int, ahead: int) -> Iterator[B]:
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
