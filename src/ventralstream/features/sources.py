"""The kinds of stimuli: files, pictures, normalised images, and what comes in batches."""

from __future__ import annotations

import hashlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ventralstream.data import Fingerprint, Preprocessing, Skipped, fingerprint, read_batches
from ventralstream.data.image_file import decode_image
from ventralstream.errors import VentralError, unknown
from ventralstream.presentation import Presentation
from ventralstream.stimulus import Stimulus


@dataclass(frozen=True)
class Batch:
    """Some stimuli.

    Attributes:
        ids: Their ids.
        stimulus: What a network reads, of as many; None if not one could be read.
        skipped: The stimuli of this batch that could not be read.
    """

    ids: tuple[str, ...]
    stimulus: Stimulus | None
    skipped: tuple[Skipped, ...] = ()


class Shown(ABC):
    """Stimuli that a network can be shown.

    Attributes:
        ids: Their stimulus ids, each once.
        preprocessing: What is done to the images, as JSON; "none" for those that are given normalised.
        passed_over: One sentence on what lies beside them and is not among them; "" if nothing does.
    """

    ids: tuple[str, ...]
    preprocessing: Any  # str, as a field or a property
    passed_over: str = ""

    @abstractmethod
    def batches(self, size: int, start: int = 0, workers: int = 2) -> Iterator[Batch]:
        """The stimuli in their order, `size` at a time (those that come in batches: as they come).

        Args:
            size: How many.
            start: How many to leave out at the beginning: the end of a batch.
            workers: Threads that decode files ahead.
        """

    @abstractmethod
    def select(self, ids: Sequence[str]) -> Shown:
        """Some of them.

        Raises:
            VentralError: for an unknown id, naming the nearest.
        """

    @abstractmethod
    def fingerprint(self) -> Fingerprint:
        """What tells these stimuli from others; of those that come in batches only the ids do."""

    @property
    def notes(self) -> dict[str, str]:
        """Where they are, where that can be said."""
        return {}

    def check(self, presentation: Presentation) -> None:
        """Raises VentralError if the stimuli cannot be shown so; what is given by name is checked by the network."""
        for segment in presentation.segments:
            if segment.shows not in ("image", "blank"):
                raise VentralError(f"a folder of images cannot show a '{segment.shows}', only images and blanks")

    def all_readable(self, size: int) -> Iterator[Batch]:
        """The batches, where a stimulus that cannot be read is an error."""
        for batch in self.batches(size):
            if batch.skipped:
                raise VentralError(f"{batch.skipped[0].reason} (leave it out)")
            yield batch


@dataclass(frozen=True)
class Files(Shown):
    """Files, by their paths in a folder."""

    ids: tuple[str, ...]
    folder: Path
    how: Preprocessing
    passed_over: str = ""

    @property
    def preprocessing(self) -> str:
        return json.dumps(self.how.to_json())

    @property
    def notes(self) -> dict[str, str]:
        return {"folder": str(self.folder.resolve())}

    def batches(self, size: int, start: int = 0, workers: int = 2) -> Iterator[Batch]:
        for batch in read_batches(self.folder, self.ids, size, self.how, start=start, workers=workers):
            yield Batch(batch.ids, batch.images if batch.ids else None, batch.skipped)

    def select(self, ids: Sequence[str]) -> Shown:
        positions(self.ids, ids)
        return Files(tuple(ids), self.folder, self.how)

    def fingerprint(self) -> Fingerprint:
        return fingerprint(self.folder, self.ids)


@dataclass(frozen=True, eq=False)
class Pixels(Sequence[Image.Image]):
    """Pixels in memory, as a row of pictures."""

    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: Any) -> Any:
        return Image.fromarray(self.pixels[row])


@dataclass(frozen=True, eq=False)
class Pictures(Shown):
    """Pictures in memory."""

    ids: tuple[str, ...]
    pictures: Sequence[Image.Image]
    how: Preprocessing

    @property
    def preprocessing(self) -> str:
        return json.dumps(self.how.to_json())

    def batches(self, size: int, start: int = 0, workers: int = 2) -> Iterator[Batch]:
        for rows in _rows(len(self.ids), size, start):
            pixels = [self.how.pixels(self._picture(row)) for row in rows]
            yield Batch(self.ids[rows.start : rows.stop], self.how.normalise(torch.stack(pixels)))

    def _picture(self, row: int) -> Image.Image:
        picture = self.pictures[row]
        if picture.mode in ("RGB", "L"):
            return picture.convert("RGB" if self.how.channels == 3 else "L")
        file = io.BytesIO()
        picture.save(file, "PNG")  # so that other modes are read as those of files are
        return decode_image(file.getvalue(), self.how.channels, self.ids[row])

    def select(self, ids: Sequence[str]) -> Shown:
        rows = positions(self.ids, ids)
        return Pictures(tuple(ids), [self.pictures[int(row)] for row in rows], self.how)

    def fingerprint(self) -> Fingerprint:
        return _fingerprint(self.ids, (f"{p.mode} {p.size}\n".encode() + p.tobytes() for p in self.pictures))


@dataclass(frozen=True, eq=False)
class Normalised(Shown):
    """Images that are normalised already, by what they are shown as."""

    ids: tuple[str, ...]
    given: Mapping[str, Tensor]
    preprocessing: str = "none"

    def check(self, presentation: Presentation) -> None:
        pass  # the network knows what it is shown, by name and shape

    def batches(self, size: int, start: int = 0, workers: int = 2) -> Iterator[Batch]:
        for rows in _rows(len(self.ids), size, start):
            some = {name: x[rows.start : rows.stop] for name, x in self.given.items()}
            yield Batch(self.ids[rows.start : rows.stop], _unnamed(some))

    def select(self, ids: Sequence[str]) -> Shown:
        rows = torch.from_numpy(positions(self.ids, ids))
        return Normalised(tuple(ids), {name: x[rows.to(x.device)] for name, x in self.given.items()})

    def fingerprint(self) -> Fingerprint:
        parts = (f"{name} {x.dtype} {list(x.shape)}\n".encode() + _bytes(x) for name, x in self.given.items())
        return _fingerprint(self.ids, parts)


@dataclass(frozen=True, eq=False)
class Stream(Shown):
    """Images that come in batches, once or as often as they are asked for; `all_ids` are those of all that come."""

    ids: tuple[str, ...]
    source: Iterable[Any]
    all_ids: tuple[str, ...]
    preprocessing: str = "none"
    begun: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        if type(getattr(self.source, "sampler", None)).__name__ == "RandomSampler":
            raise VentralError("the DataLoader shuffles, so its images are not in the order of their stimulus_id")

    def check(self, presentation: Presentation) -> None:
        pass  # the network knows what it is shown, by name and shape

    def batches(self, size: int, start: int = 0, workers: int = 2) -> Iterator[Batch]:
        if self.begun and iter(self.source) is self.source:
            raise VentralError("a generator gives its images once, and here they are needed again; give a DataLoader")
        self.begun.append(True)
        wanted, done = set(self.ids), 0
        for item in self.source:
            batch = normalised(item[0] if isinstance(item, (list, tuple)) and item else item)
            if batch is None:
                raise VentralError(f"a batch of images is normalised images [B, C, H, W]; got {type(item).__name__}")
            first, done = done, done + len(next(iter(batch.values())))
            if done > len(self.all_ids):
                break
            if done <= start:
                continue
            if first < start:
                raise VentralError(f"the images come in other batches than before, where {start} ended one")
            ids = self.all_ids[first:done]
            if not wanted.issuperset(ids):
                kept = [i for i, id_ in enumerate(ids) if id_ in wanted]
                ids, batch = tuple(ids[i] for i in kept), {name: x[kept] for name, x in batch.items()}
            if ids:
                yield Batch(ids, _unnamed(batch))
        if done != (count := len(self.all_ids)):
            raise VentralError(f"{count} stimulus ids, but {'more' if done > count else done} images came")

    def select(self, ids: Sequence[str]) -> Shown:
        positions(self.ids, ids)
        return Stream(tuple(ids), self.source, self.all_ids, begun=self.begun)

    def fingerprint(self) -> Fingerprint:
        return _fingerprint(self.ids, ())


def positions(ids: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    """Where the wanted ids are among `ids`.

    Raises:
        VentralError: for an unknown id, naming the nearest.
    """
    position = {id_: i for i, id_ in enumerate(ids)}
    for id_ in wanted:
        if id_ not in position:
            raise unknown("stimulus", id_, ids)
    return np.array([position[id_] for id_ in wanted], dtype=np.int64)


def normalised(images: Any) -> dict[str, Tensor] | None:
    """Normalised images by what they are shown as ("" if that is not said); None if these are none."""
    if isinstance(images, Tensor) and images.dim():
        return {"": images}
    if isinstance(images, np.ndarray) and images.dtype.kind == "f" and images.ndim:
        return {"": torch.from_numpy(np.ascontiguousarray(images))}
    if isinstance(images, Mapping):
        named = {str(name): normalised(x) for name, x in images.items()}
        if any(x is None or set(x) != {""} for x in named.values()):
            raise VentralError("images by name are arrays of normalised images, as in {'image': ..., 'mask': ...}")
        return {name: x[""] for name, x in named.items() if x is not None}
    if isinstance(images, (list, tuple)) and images:
        parts = [normalised(x) for x in images]
        if all(x is not None and set(x) == {""} and x[""].dim() == 3 for x in parts):
            single = [x[""] for x in parts if x is not None]
            if len({x.shape for x in single}) > 1:
                raise VentralError("images in a list are of one size; these differ")
            return {"": torch.stack(single)}
    return None


def _rows(count: int, size: int, start: int) -> Iterator[range]:
    for first in range(start, count, size):
        yield range(first, min(first + size, count))


def _fingerprint(ids: Sequence[str], contents: Iterable[bytes]) -> Fingerprint:
    digest = hashlib.sha256()
    for part in contents:
        digest.update(part)
    return Fingerprint(len(ids), hashlib.sha256(json.dumps(ids).encode()).hexdigest(), digest.hexdigest())


def _bytes(x: Tensor) -> bytes:
    return x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _unnamed(images: Mapping[str, Tensor]) -> Stimulus:
    return images[""] if set(images) == {""} else images
