"""Stimuli of any kind, made ready to be shown to a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ventralstream.data import Preprocessing, list_folder
from ventralstream.data.stimuli import Stimuli
from ventralstream.errors import VentralError
from ventralstream.features.sources import Files, Normalised, Pictures, Pixels, Shown, Stream, normalised
from ventralstream.network import Network
from ventralstream.values import fit

Images: TypeAlias = Stimuli | str | Path | Tensor | NDArray[Any] | Mapping[str, Any] | Iterable[Any]
"""Stimuli: `Stimuli`, a folder, a list of files, of pictures (PIL) or of normalised images, normalised images
[B, C, H, W] (with a mask: {"image": ..., "mask": ...}), pixels (uint8, [B, H, W, 3] or [B, H, W]), or what gives
batches of normalised images: a generator, or a DataLoader."""

Resize: TypeAlias = Literal["squash", "crop"]


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
    given = normalised(images)
    if given is not None:
        if size is not None:
            raise VentralError("size is that of files and pixels; normalised images are shown as they are")
        counts = {len(x) for x in given.values()}
        if len(counts) != 1 or counts == {0}:
            raise VentralError("there are no stimuli, or not as many masks as images")
        return Normalised(_ids(stimulus_id, counts.pop(), named), given)
    if isinstance(images, np.ndarray):  # pixels, or an error that says what would be
        images, stimulus_id = Stimuli(_ids(stimulus_id, len(images), named), images), None
    if isinstance(images, (Stimuli, str, Path)):
        _no_ids(stimulus_id)
        preprocessing = _preprocessing(net, size, resize)
        if isinstance(images, Stimuli):
            _some(images)
            return Pictures(images.ids, Pixels(images.pixels), preprocessing)
        listing = list_folder(images)
        return Files(listing.ids, Path(images), preprocessing, listing.passed_over)
    if isinstance(images, (list, tuple)):
        _some(images)
        if all(isinstance(x, (str, Path)) for x in images):
            _no_ids(stimulus_id)
            files = _ids([str(x) for x in images], len(images), named)
            return Files(files, Path(), _preprocessing(net, size, resize))
        pictures = [Image.fromarray(x) if _is_pixels(x) else x for x in images]
        if all(isinstance(x, Image.Image) for x in pictures):
            return Pictures(_ids(stimulus_id, len(pictures), named), pictures, _preprocessing(net, size, resize))
    if not isinstance(images, Iterable) or isinstance(images, (Tensor, bytes)):
        raise VentralError(
            f"stimuli are Stimuli, a folder, a list of files, images, or batches of them; got {type(images).__name__}"
        )
    if stimulus_id is None:
        raise VentralError("images given in batches need their stimulus_id")
    ids = _ids(stimulus_id, len(stimulus_id), named)
    return Stream(ids, images, ids)


def _some(images: Sized) -> None:
    if not len(images):
        raise VentralError("there are no stimuli")


def _is_pixels(x: object) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == np.uint8 and (x.ndim == 2 or (x.ndim == 3 and x.shape[2] == 3))


def _ids(stimulus_id: Sequence[str] | None, count: int, named: bool) -> tuple[str, ...]:
    if stimulus_id is None and named:
        raise VentralError("images given as tensors need their stimulus_id")
    given: Sequence[Any] = range(count) if stimulus_id is None else list(stimulus_id)
    if unnamed := sum(x is None or x != x for x in given):
        raise VentralError(f"{unnamed} of {len(given)} stimulus ids are missing (None or NaN)")
    ids = tuple(map(str, given))
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
    side = height if size is None else fit(size, int, "size")
    return Preprocessing(side, net.spec.mean, net.spec.std, resize)
