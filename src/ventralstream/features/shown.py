"""Stimuli of any kind, as batches of what a network reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ventralstream.data import Preprocessing, list_images, read_batches
from ventralstream.data.stimuli import Stimuli
from ventralstream.errors import VentralError, unknown
from ventralstream.network import Network
from ventralstream.stimulus import Stimulus

Images: TypeAlias = Stimuli | str | Path | Tensor | Mapping[str, Tensor]


@dataclass(frozen=True)
class Shown:
    """Images that a network can be shown.

    Attributes:
        ids: Their stimulus ids.
        read: From positions among them to what the network reads.
        preprocessing: What is done to the images, as JSON; "none" for tensors, which are given as they are.
    """

    ids: tuple[str, ...]
    read: Callable[[NDArray[np.int64]], Stimulus]
    preprocessing: str

    def batches(self, size: int) -> Iterator[Stimulus]:
        """The images, `size` at a time."""
        if size < 1:
            raise VentralError(f"batch_size is {size}; expected at least 1")
        for start in range(0, len(self.ids), size):
            yield self.read(np.arange(start, min(start + size, len(self.ids))))

    def select(self, ids: Sequence[str]) -> Shown:
        """Some of them, in the order of `ids`.

        Raises:
            VentralError: for an unknown id, naming the nearest.
        """
        rows = positions(self.ids, ids)
        return Shown(tuple(ids), lambda some: self.read(rows[some]), self.preprocessing)


def shown(
    net: Network,
    images: Images,
    stimulus_id: Sequence[str] | None,
    resize: Literal["squash", "crop"],
    named: bool = True,
) -> Shown:
    """Makes images of any kind ready for a network.

    Args:
        net: The network.
        images: `Stimuli`, a folder, or tensors; see `features`.
        stimulus_id: The ids of tensors.
        resize: How `Stimuli` and files are brought to the network's size.
        named: Whether tensors must have ids.

    Raises:
        VentralError: There are no images, or ids where there should be none, or none where there should be.
    """
    device = next((t.device for t in net.state_dict().values()), torch.device("cpu"))
    if isinstance(images, (Tensor, Mapping)):
        return _tensors(images, stimulus_id, named, device)
    if stimulus_id is not None:
        raise VentralError("stimulus_id is for images given as tensors; files and Stimuli have ids of their own")
    height, width = net.spec.input_shape[1:]
    if height != width:
        raise VentralError(f"'{net.spec.name}' takes {height} x {width} pixels; give it normalised images of that size")
    preprocessing = Preprocessing(height, net.spec.mean, net.spec.std, resize)
    about = json.dumps(preprocessing.to_json())
    if isinstance(images, Stimuli):
        if not len(images):
            raise VentralError("there are no stimuli")
        pixels, mode = images.pixels, "RGB" if preprocessing.channels == 3 else "L"

        def from_memory(rows: NDArray[np.int64]) -> Tensor:
            pictures = [Image.fromarray(pixels[row]).convert(mode) for row in rows]
            return preprocessing.normalise(torch.stack([preprocessing.pixels(p) for p in pictures])).to(device)

        return Shown(images.ids, from_memory, about)
    folder = Path(images)
    ids = list_images(folder)

    def from_files(rows: NDArray[np.int64]) -> Tensor:
        batch = next(read_batches(folder, [ids[row] for row in rows], len(rows), preprocessing, start=0))
        if batch.skipped:
            raise VentralError(f"{batch.skipped[0].reason} (leave it out of the folder)")
        return batch.images.to(device)

    return Shown(tuple(ids), from_files, about)


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


def _tensors(
    images: Tensor | Mapping[str, Tensor], stimulus_id: Sequence[str] | None, named: bool, device: torch.device
) -> Shown:
    sizes = {len(x) for x in ([images] if isinstance(images, Tensor) else images.values())}
    if len(sizes) != 1 or sizes == {0}:
        raise VentralError("there are no stimuli, or not as many masks as images")
    count = sizes.pop()
    if stimulus_id is None and named:
        raise VentralError("images given as tensors need their stimulus_id")
    ids = tuple(map(str, range(count) if stimulus_id is None else stimulus_id))
    if len(ids) != count or len(set(ids)) != count:
        raise VentralError(f"{count} images need as many different stimulus ids; got {len(set(ids))}")

    def given(rows: NDArray[np.int64]) -> Stimulus:
        index = torch.from_numpy(rows)
        if isinstance(images, Tensor):
            return images[index.to(images.device)].to(device)
        return {name: x[index.to(x.device)].to(device) for name, x in images.items()}

    return Shown(ids, given, "none")
