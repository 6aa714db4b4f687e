"""Checkpoints without pickle: folders of `tensors.safetensors` and `state.json`, written whole or not at all.

`SHA256SUMS` beside them tells what they must be, to the last bit (`sha256sum -c` reads it too). A checkpoint's name is
its position, so that the order of the names is the order in time: `epoch_002_batch_000150` was made after 150 batches
of the third epoch, `epoch_000_batch_000000` before the first.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ventralstream.checkpoints.disk import save_tensors
from ventralstream.errors import VentralError, reason
from ventralstream.files import PART, REPLACED, remove, replacing_folder

TENSORS, STATE, SUMS = "tensors.safetensors", "state.json", "SHA256SUMS"
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

    It is written beside and renamed when it is on the disk. What is already there is of the same position, and
    replaced; if writing fails, it stays.

    Raises:
        VentralError: if the content has values that cannot be kept.
        OSError: if the disk does not take it.
    """
    tensors: dict[str, Tensor] = {}
    state = json.dumps(_split(content, "", tensors), indent=1)
    with replacing_folder(path) as part:
        save_tensors(tensors, part / TENSORS)
        (part / STATE).write_text(state, encoding="utf-8")
        sums = [f"{_sha256(part / name)}  {name}\n" for name in (TENSORS, STATE)]
        (part / SUMS).write_text("".join(sums), encoding="utf-8")


def keep_only(kept: Collection[Path]) -> None:
    """Removes the other checkpoints beside these, and what a process that was killed left half written or replaced."""
    for path in next(iter(kept)).parent.iterdir():
        name = path.name.removesuffix(PART).removesuffix(REPLACED)
        if _NAME.fullmatch(name) and path not in kept:
            remove(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads what `write_checkpoint` wrote; exact.

    Raises:
        VentralError: if something is missing or is not what was written.
    """
    try:
        sums = [line.split("  ", 1) for line in (path / SUMS).read_text(encoding="utf-8").splitlines()]
        if [name for _, name in sums] != [TENSORS, STATE]:
            raise ValueError(f"{SUMS} is cut or changed")
        for expected, name in sums:
            if _sha256(path / name) != expected:
                raise ValueError(f"{name} is not what was written")
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        content: dict[str, Any] = _join(state, load_file(path / TENSORS))
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = f"there is no {Path(error.filename).name}" if isinstance(error, FileNotFoundError) else reason(error)
        raise VentralError(f"the checkpoint '{path}' is damaged: {why}") from None
    return content


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
