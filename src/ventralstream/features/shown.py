"""Stimuli of any kind, as batches of what a network reads."""

from __future__ import annotations

import hashlib
import io
import json
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ventralstream.data import Fingerprint, Preprocessing, Skipped, fingerprint, list_folder, read_batches
from ventralstream.data.image_file import decode_image
from ventralstream.data.stimuli import Stimuli
from ventralstream.errors import VentralError, unknown
from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.stimulus import Stimulus

Images: TypeAlias = Stimuli | str | Path | Tensor | NDArray[Any] | Mapping[str, Any] | Iterable[Any]
"""Stimuli: `Stimuli`, a folder, a list of files, of pictures (PIL) or of normalised images, normalised images
[B, C, H, W] (with a mask: {"image": ..., "mask": ...}), pixels (uint8, [B, H, W, 3] or [B, H, W]), or what gives
batches of normalised images: a generator, or a DataLoader."""

Resize: TypeAlias = Literal["squash", "crop"]


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
    """

    ids: tuple[str, ...]
    preprocessing: str

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
    def passed_over(self) -> str:
        """One sentence on what lies beside them and is not among them; "" if nothing does."""
        return ""

    @property
    def notes(self) -> dict[str, str]:
        """Where they are, where that can be said."""
        return {}

    def check(self, presentation: Presentation) -> None:
        """Raises VentralError if the stimuli cannot be shown so; batches are checked when they are shown."""

    def all_readable(self, size: int) -> Iterator[Batch]:
        """The batches, where a stimulus that cannot be read is an error."""
        for batch in self.batches(size):
            if batch.skipped:
                raise VentralError(f"{batch.skipped[0].reason} (leave it out)")
            yield batch


def shown(
    net: Network,
    images: Images,
    stimulus_id: Sequence[str] | None = None,
    *,
    resize: Resize = "squash",
    size: int | None = None,
    named: bool = True,
) -> Shown:
    """Makes stimuli of any kind ready for a network.

    Args:
        net: The network.
        images: The stimuli; see `Images`.
        stimulus_id: The ids of those that have none of their own: all but `Stimuli` and files.
        resize: How pixels and files are brought to the network's size: "squash" shows the whole image, "crop" the
            middle of it.
        size: Another height and width than the network's.
        named: Whether images must have ids.

    Raises:
        VentralError: There are no images, or ids where there should be none, or none where there should be.
    """
    given = _normalised(images)
    if given is not None:
        if size is not None:
            raise VentralError("size is that of files and pixels; normalised images are shown as they are")
        counts = {len(x) for x in given.values()}
        if len(counts) != 1 or counts == {0}:
            raise VentralError("there are no stimuli, or not as many masks as images")
        return _Normalised(_ids(stimulus_id, counts.pop(), named), given)
    if isinstance(images, np.ndarray):  # pixels, or an error that says what would be
        images, stimulus_id = Stimuli(_ids(stimulus_id, len(images), named), images), None
    in_order = list(images) if isinstance(images, (list, tuple)) else []
    if images is in_order or (isinstance(images, (list, tuple)) and not in_order):
        raise VentralError("there are no stimuli")
    if in_order and all(isinstance(x, Image.Image) for x in in_order):
        ids = _ids(stimulus_id, len(in_order), named)
        return _Pictures(ids, in_order, _preprocessing(net, size, resize))
    if in_order and all(isinstance(x, (str, Path)) for x in in_order):
        _no_ids(stimulus_id)
        files = tuple(map(str, in_order))
        return _Files(_ids(files, len(files), named), Path(), _preprocessing(net, size, resize))
    if isinstance(images, (Stimuli, str, Path)):
        _no_ids(stimulus_id)
        preprocessing = _preprocessing(net, size, resize)
        if isinstance(images, Stimuli):
            if not len(images):
                raise VentralError("there are no stimuli")
            return _Pictures(images.ids, _Pixels(images.pixels), preprocessing)
        listing = list_folder(images)
        return _Files(listing.ids, Path(images), preprocessing, listing.passed_over)
    if not isinstance(images, Iterable):
        raise VentralError(
            f"stimuli are Stimuli, a folder, a list of files, images, or batches of them; got {type(images).__name__}"
        )
    if stimulus_id is None:
        raise VentralError("images given in batches need their stimulus_id")
    return _Stream(_ids(stimulus_id, len(stimulus_id), named), images)


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


@dataclass(frozen=True)
class _Files(Shown):
    """Files, by their paths in a folder."""

    ids: tuple[str, ...]
    folder: Path
    how: Preprocessing
    passed_over: str = ""  # type: ignore[misc]

    @property
    def notes(self) -> dict[str, str]:
        return {"folder": str(self.folder.resolve())}

    def check(self, presentation: Presentation) -> None:
        for segment in presentation.segments:
            if segment.shows not in ("image", "blank"):
                raise VentralError(f"a folder of images cannot show a '{segment.shows}', only images and blanks")

    @property
    def preprocessing(self) -> str:  # type: ignore[override]
        return json.dumps(self.how.to_json())

    def batches(self, size: int, start: int = 0, workers: int = 2) -> Iterator[Batch]:
        for batch in read_batches(self.folder, self.ids, size, self.how, start=start, workers=workers):
            yield Batch(batch.ids, batch.images if batch.ids else None, batch.skipped)

    def select(self, ids: Sequence[str]) -> Shown:
        positions(self.ids, ids)
        return _Files(tuple(ids), self.folder, self.how)

    def fingerprint(self) -> Fingerprint:
        return fingerprint(self.folder, self.ids)


@dataclass(frozen=True)
class _Pixels(Sequence[Image.Image]):
    """Pixels in memory, as a row of pictures."""

    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: Any) -> Any:
        return Image.fromarray(self.pixels[row])


@dataclass(frozen=True, eq=False)
class _Pictures(Shown):
    """Pictures in memory."""

    ids: tuple[str, ...]
    pictures: Sequence[Image.Image]
    how: Preprocessing

    @property
    def preprocessing(self) -> str:  # type: ignore[override]
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
        return decode_image(file, self.how.channels, self.ids[row])

    def select(self, ids: Sequence[str]) -> Shown:
        rows = positions(self.ids, ids)
        return _Pictures(tuple(ids), [self.pictures[int(row)] for row in rows], self.how)

    def fingerprint(self) -> Fingerprint:
        return _fingerprint(self.ids, (f"{p.mode} {p.size}\n".encode() + p.tobytes() for p in self.pictures))


@dataclass(frozen=True, eq=False)
class _Normalised(Shown):
    """Images that are normalised already, by what they are shown as."""

    ids: tuple[str, ...]
    given: Mapping[str, Tensor]
    preprocessing: str = "none"

    def batches(self, size: int, start: int = 0, workers: int = 2) -> Iterator[Batch]:
        for rows in _rows(len(self.ids), size, start):
            some = {name: x[rows.start : rows.stop] for name, x in self.given.items()}
            yield Batch(self.ids[rows.start : rows.stop], _unnamed(some))

    def select(self, ids: Sequence[str]) -> Shown:
        rows = torch.from_numpy(positions(self.ids, ids))
        return _Normalised(tuple(ids), {name: x[rows.to(x.device)] for name, x in self.given.items()})

    def fingerprint(self) -> Fingerprint:
        parts = (f"{name} {x.dtype} {list(x.shape)}\n".encode() + _bytes(x) for name, x in self.given.items())
        return _fingerprint(self.ids, parts)


@dataclass(frozen=True, eq=False)
class _Stream(Shown):
    """Images that come in batches, once or as often as they are asked for."""

    ids: tuple[str, ...]
    source: Iterable[Any]
    wanted: tuple[str, ...] | None = None
    preprocessing: str = "none"
    _begun: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        if type(getattr(self.source, "sampler", None)).__name__ == "RandomSampler":
            raise VentralError("the DataLoader shuffles, so its images are not in the order of their stimulus_id")

    def batches(self, size: int, start: int = 0, workers: int = 2) -> Iterator[Batch]:
        if self._begun and iter(self.source) is self.source:
            raise VentralError("a generator gives its images once, and here they are needed again; give a DataLoader")
        self._begun.append(True)
        wanted = None if self.wanted is None else set(self.wanted)
        done = 0
        for item in self.source:
            batch = _normalised(item[0] if isinstance(item, (list, tuple)) and item else item)
            if batch is None:
                raise VentralError(f"a batch of images is normalised images [B, C, H, W]; got {type(item).__name__}")
            first, done = done, done + len(next(iter(batch.values())))
            if done > len(self.ids):
                break
            if done <= start:
                continue
            if first < start:
                raise VentralError(f"the images come in other batches than before, where {start} ended one")
            ids = self.ids[first:done]
            if wanted is not None:
                kept = [i for i, id_ in enumerate(ids) if id_ in wanted]
                ids, batch = tuple(ids[i] for i in kept), {name: x[kept] for name, x in batch.items()}
            if ids:
                yield Batch(ids, _unnamed(batch))
        if done != len(self.ids):
            raise VentralError(
                f"{len(self.ids)} stimulus ids, but {'more' if done > len(self.ids) else done} images came"
            )

    def select(self, ids: Sequence[str]) -> Shown:
        positions(self.ids, ids)
        return _Stream(self.ids, self.source, tuple(ids), _begun=self._begun)

    def fingerprint(self) -> Fingerprint:
        return _fingerprint(self.ids, ())


def whole(name: str, value: Any, least: int) -> int:
    """A whole number, of whichever kind; VentralError if it is none, or smaller than it may be."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or operator.index(value) < least:
        raise VentralError(f"{name} is {value!r}; expected a whole number of at least {least}")
    return operator.index(value)


def _rows(count: int, size: int, start: int) -> Iterator[range]:
    for first in range(start, count, size):
        yield range(first, min(first + size, count))


def _normalised(images: Any) -> dict[str, Tensor] | None:
    """Normalised images by what they are shown as ("" if that is not said); None if these are none."""
    if isinstance(images, Tensor):
        return {"": images}
    if isinstance(images, np.ndarray) and images.dtype.kind == "f":
        return {"": torch.from_numpy(np.ascontiguousarray(images))}
    if isinstance(images, Mapping):
        named = {str(name): _normalised(x) for name, x in images.items()}
        if any(x is None or set(x) != {""} for x in named.values()):
            raise VentralError("images by name are arrays of normalised images, as in {'image': ..., 'mask': ...}")
        return {name: x[""] for name, x in named.items() if x is not None}
    if isinstance(images, (list, tuple)) and images:
        parts = [_normalised(x) for x in images]
        if all(x is not None and set(x) == {""} and x[""].dim() == 3 for x in parts):
            single = [x[""] for x in parts if x is not None]
            if len({x.shape for x in single}) > 1:
                raise VentralError("images in a list are of one size; these differ")
            return {"": torch.stack(single)}
    return None


def _fingerprint(ids: Sequence[str], contents: Iterable[bytes]) -> Fingerprint:
    digest = hashlib.sha256()
    for part in contents:
        digest.update(part)
    return Fingerprint(len(ids), hashlib.sha256(json.dumps(ids).encode()).hexdigest(), digest.hexdigest())


def _bytes(x: Tensor) -> bytes:
    return x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _unnamed(images: Mapping[str, Tensor]) -> Stimulus:
    return images[""] if set(images) == {""} else images


def _ids(stimulus_id: Sequence[str] | None, count: int, named: bool) -> tuple[str, ...]:
    if stimulus_id is None and named:
        raise VentralError("images given as tensors need their stimulus_id")
    ids = tuple(map(str, range(count) if stimulus_id is None else stimulus_id))
    if len(ids) != count or len(set(ids)) != count:
        raise VentralError(f"{count} images need as many different stimulus ids; got {len(set(ids))}")
    return ids


def _no_ids(stimulus_id: Sequence[str] | None) -> None:
    if stimulus_id is not None:
        raise VentralError("stimulus_id is for images given as tensors; files and Stimuli have ids of their own")


def _preprocessing(net: Network, size: int | None, resize: Resize) -> Preprocessing:
    height, width = net.spec.input_shape[1:]
    if size is None and height != width:
        raise VentralError(
            f"'{net.spec.name}' takes {height} x {width} pixels; give a (square) size, or normalised images"
        )
    return Preprocessing(height if size is None else size, net.spec.mean, net.spec.std, resize)
