"""Checkpoints without pickle: folders of `tensors.safetensors` and `state.json`, written whole or not at all.

A checkpoint's name is its position, so that the order of the names is the order in time:
`epoch_002_batch_000150` was made after 150 batches of the third epoch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ventralstream.errors import VentralError

TENSORS, STATE = "tensors.safetensors", "state.json"
_NAME = re.compile(r"epoch_(\d+)_batch_(\d+)")


def position_name(epoch: int, batch: int) -> str:
    """The name of the checkpoint made after `batch` batches of epoch `epoch` (counted from 0)."""
    return f"epoch_{epoch:03d}_batch_{batch:06d}"


def position(name: str) -> tuple[int, int]:
    """(epoch, batch) of a checkpoint's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise VentralError(f"'{name}' is not a checkpoint's name, such as '{position_name(2, 150)}'")
    return int(match[1]), int(match[2])


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first; one that was half written when a run died is none."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: position(path.name))


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes nested dicts, lists and tuples of tensors and plain values into a folder.

    It is written beside and renamed when it is on the disk. A checkpoint that is already there is of the same
    position, and replaced.
    """
    tensors: dict[str, Tensor] = {}
    state = _split(content, "", tensors)
    partial = path.with_name(path.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(tensors, partial / TENSORS)
    (partial / STATE).write_text(json.dumps(state, indent=1))
    for file in (partial / TENSORS, partial / STATE, partial):
        _to_disk(file)
    shutil.rmtree(path, ignore_errors=True)
    partial.replace(path)
    _to_disk(path.parent)


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Reads what `write_checkpoint` wrote; exact.

    Raises:
        VentralError: if something is missing or broken.
    """
    try:
        state = json.loads((path / STATE).read_text())
        tensors = load_file(path / TENSORS, device=str(device))
        content: dict[str, Any] = _join(state, tensors)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise VentralError(
            f"the checkpoint '{path}' is broken, perhaps truncated ({type(error).__name__}: {error});"
            " delete its folder to carry on from the one before"
        ) from None
    return content


class FolderCheckpointIO(CheckpointIO):
    """Makes Lightning write and read its checkpoints in this format."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes Lightning's checkpoint to the folder `path`."""
        write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads the folder `path`, onto the processor: Lightning moves the parts to where they belong."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes the folder `path`."""
        shutil.rmtree(path, ignore_errors=True)


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON; tensors go to `tensors`, and leave {"@tensor": their path}.

    What JSON lacks is marked: {"@tuple": [...]}, and {"@dict": [[key, value], ...]} for keys that are not
    strings or begin with the mark.
    """

    def below(key: object, part: Any) -> Any:
        return _split(part, f"{path}/{key}" if path else str(key), tensors)

    if isinstance(value, Tensor):
        if path in tensors:
            raise VentralError(f"two tensors of a checkpoint would be named '{path}'")
        tensors[path] = value.detach().to("cpu", copy=True).contiguous()  # a copy: safetensors takes no shared memory
        return {"@tensor": path}
    if isinstance(value, Mapping):
        if not all(isinstance(key, (str, int)) for key in value):
            raise VentralError(f"a checkpoint's keys are strings or whole numbers; '{path}' has others")
        if all(isinstance(key, str) and not key.startswith("@") for key in value):
            return {key: below(key, part) for key, part in value.items()}
        return {"@dict": [[key, below(key, part)] for key, part in value.items()]}
    if isinstance(value, tuple):
        return {"@tuple": [below(i, part) for i, part in enumerate(value)]}
    if isinstance(value, list):
        return [below(i, part) for i, part in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise VentralError(f"a checkpoint cannot hold '{path}', which is a {type(value).__name__}")


def _join(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_join(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if "@tensor" in value:
        return tensors[value["@tensor"]]
    if "@tuple" in value:
        return tuple(_join(value["@tuple"], tensors))
    if "@dict" in value:
        return {key: _join(part, tensors) for key, part in value["@dict"]}
    return {key: _join(part, tensors) for key, part in value.items()}


def _to_disk(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
