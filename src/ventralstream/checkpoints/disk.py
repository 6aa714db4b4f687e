"""A network on disk: `config.json` (the architecture as data) beside `model.safetensors` (the tensors).

`SHA256SUMS` has the checksums of both, as `sha256sum -c` reads them: damage, and a saving that was cut off between the
two, are noticed when the network is loaded. Where there is no such file, as in a folder made by hand, none is checked.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ventralstream.checkpoints.fit import check_fit
from ventralstream.checkpoints.state_dict import named_tensors
from ventralstream.errors import VentralError, printable, reason
from ventralstream.files import replacing, why_no_file
from ventralstream.network import Network
from ventralstream.spec import NetworkSpec, spec_from_json
from ventralstream.version import __version__

SPEC_FILE, TENSOR_FILE, PROVENANCE_FILE = "config.json", "model.safetensors", "provenance.json"
SUMS_FILE = "SHA256SUMS"
_VERSION = f"ventralstream {__version__}"
_LARGEST_TEXT = 1 << 26  # bytes; the largest registered model's spec has 10 kB


class NotSaved(VentralError, OSError):
    """A network could not be written; also an OSError, for whoever handles a full disk."""


def save_network(network: Network, folder: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Writes a network's spec and tensors into a folder.

    What was saved there before stays whole if this fails, for example on a full disk.

    Args:
        network: The network.
        folder: Made if need be.
        provenance: Where the weights come from, for `provenance.json`; an older one there is of other weights, and is
            removed.

    Raises:
        VentralError: A tensor has values that are not finite.
        NotSaved: The folder cannot be written.
    """
    folder = Path(folder)
    tensors = {k: v.detach().contiguous().cpu() for k, v in distinct_tensors(network).items()}
    _require_finite(tensors, f"'{printable(network.spec.name)}' is not saved")
    files = [SPEC_FILE, TENSOR_FILE, SUMS_FILE, *([PROVENANCE_FILE] if provenance is not None else [])]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # All are written before the first is renamed, and the checksums are renamed before what they are of: wherever
        # it is cut off, the folder has the old network, or the new one, or files that do not fit their checksums.
        with ExitStack() as stack:
            parts = {name: stack.enter_context(replacing(folder / name)) for name in files}
            parts[SPEC_FILE].write_text(network.spec.to_text(), encoding="utf-8")
            save_tensors(tensors, parts[TENSOR_FILE])
            sums = [f"{_sha256(parts[name])}  {name}" for name in (SPEC_FILE, TENSOR_FILE)]
            parts[SUMS_FILE].write_text("\n".join((f"# {_VERSION}", *sums, "")), encoding="utf-8")
            if provenance is not None:
                parts[PROVENANCE_FILE].write_text(json.dumps(provenance, indent=1), encoding="utf-8")
        if provenance is None:
            (folder / PROVENANCE_FILE).unlink(missing_ok=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise NotSaved(f"the network cannot be saved in '{printable(folder)}': {reason(error)}") from None


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes a safetensors file; OSError if the disk does not take it."""
    path.touch()
    mode = path.stat().st_mode  # safetensors would leave a file which only its owner may read
    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        raise OSError(f"cannot write '{printable(path)}': {reason(error)}") from None
    path.chmod(stat.S_IMODE(mode))


def distinct_tensors(network: Network) -> dict[str, Tensor]:
    """The tensors of a network by name; one that several modules share only under the first name."""
    tensors: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        tensors.setdefault(id(tensor), (name, tensor))
    return dict(tensors.values())


def load_spec(folder: str | Path) -> NetworkSpec:
    """Reads the spec of a saved network; VentralError if there is none or it is broken."""
    path = Path(folder) / SPEC_FILE
    text = _read_text(path, f"'{printable(folder)}' holds no saved network: there is no {SPEC_FILE} in it")
    try:
        return spec_from_json(text)
    except RecursionError:
        raise VentralError(f"'{printable(path)}' cannot be read: it is nested too deeply") from None
    except VentralError as error:
        version, _ = _read_sums(Path(folder))
        other = f" (it was saved by {printable(version)}, this is {_VERSION})" if version not in ("", _VERSION) else ""
        raise VentralError(f"'{printable(path)}': {error}{other}") from None


def load_network(folder: str | Path) -> Network:
    """Rebuilds a saved network, weights and all, in evaluation mode.

    Raises:
        VentralError: if the folder holds no network; or its tensors are damaged, are not finite, were not saved
            together with its spec, or do not fit it (missing, left-over and misshapen ones are listed).
    """
    network = Network(load_spec(folder))
    path = Path(folder) / TENSOR_FILE
    tensors = _read_tensors(path)
    put_tensors(network, tensors, path, lambda: _check_sums(Path(folder)))
    return network.eval()


def put_tensors(
    network: Network, tensors: Mapping[str, Tensor], path: Path, check: Callable[[], None] = lambda: None
) -> None:
    """Puts all tensors of a file into a network, under its own names, or none.

    Args:
        network: The network.
        tensors: What is in the file; a tensor that several modules share may be there once or under each name.
        path: The file.
        check: A further check, made after that of names and shapes.

    Raises:
        VentralError: if tensors are missing, left over, misshapen, of another kind of numbers, or not finite.
    """
    distinct = distinct_tensors(network)
    tensors = {k: t for k, t in tensors.items() if k in distinct or k not in network.state_dict()}
    own, found = ({k: t.shape for k, t in some.items()} for some in (distinct, tensors))
    check_fit(f"'{printable(path)}'", own, found, most=6)
    for name, tensor in distinct.items():
        if (layout := tensors[name].layout) != torch.strided or tensors[name].is_meta:
            kind = "without values (on 'meta')" if tensors[name].is_meta else str(layout).removeprefix("torch.")
            raise VentralError(f"the tensor '{printable(name)}' in '{printable(path)}' is {kind}, expected a dense one")
        kinds = {(t.is_floating_point(), t.is_complex()) for t in (tensor, tensors[name])}
        if len(kinds) > 1:  # integers, real and complex numbers do not stand for each other
            got, expected = (str(t.dtype).removeprefix("torch.") for t in (tensors[name], tensor))
            raise VentralError(
                f"the tensor '{printable(name)}' in '{printable(path)}' is of type {got}, expected {expected}"
            )
    check()
    _require_finite(tensors, f"'{printable(path)}' is not loaded")
    network.load_state_dict(tensors, strict=False)  # complete: what is not in it is one of them by another name


def read_provenance(path: Path) -> dict[str, Any]:
    """Reads a `provenance.json`; empty if there is none, VentralError if it is broken."""
    if why_no_file(path) == "there is no such file":
        return {}
    try:
        found = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise VentralError(f"'{printable(path)}' cannot be read: {reason(error)}") from None
    if not isinstance(found, dict):
        raise VentralError(f"'{printable(path)}' cannot be read: expected a JSON object")
    return found


def class_names(folder: str | Path) -> tuple[str, ...]:
    """The names of a saved network's classes, from its `provenance.json`; empty if they are not known.

    Raises:
        VentralError: if the file is broken.
    """
    path = Path(folder) / PROVENANCE_FILE
    try:
        names = read_provenance(path).get("class_names", [])
    except VentralError as error:
        raise VentralError(f"'{printable(path)}' does not tell the names of the classes: {error}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise VentralError(f"'{printable(path)}' does not tell the names of the classes: expected a list of texts")
    return tuple(names)


def _read_text(path: Path, if_absent: str = "") -> str:
    why = why_no_file(path)
    if if_absent and why == "there is no such file":
        raise VentralError(if_absent)
    try:
        if not why and path.stat().st_size > _LARGEST_TEXT:
            why = f"it has more than {_LARGEST_TEXT >> 20} MB"
        if not why:
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except OSError as error:
        why = reason(error)
    raise VentralError(f"'{printable(path)}' cannot be read: {why}")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if (why := why_no_file(path)) == "there is no such file":
        raise VentralError(f"there is no {path.name} in '{printable(path.parent)}'")
    try:
        if why:
            raise SafetensorError(why)
        tensors = load_file(path)
    except Exception as error:  # safetensors and torch raise what they like for what they cannot read
        raise VentralError(
            f"'{printable(path)}' is not a whole safetensors file ({reason(error)}); it may be truncated"
        ) from None
    return named_tensors(tensors, f"'{printable(path)}'")


def _read_sums(folder: Path) -> tuple[str, dict[str, str]]:
    """What saved a network ("ventralstream 1.0"), and the checksums of its files; nothing where there are none."""
    if why_no_file(folder / SUMS_FILE) == "there is no such file":
        return "", {}
    lines = _read_text(folder / SUMS_FILE).splitlines()
    sums = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines[1:])}
    return (lines[0].removeprefix("# ") if lines else ""), {
        name: sums.get(name, "") for name in (SPEC_FILE, TENSOR_FILE)
    }


def _check_sums(folder: Path) -> None:
    wrong = [name for name, sha256 in _read_sums(folder)[1].items() if _sha256(folder / name) != sha256]
    if wrong:
        raise VentralError(
            f"{' and '.join(wrong)} in '{printable(folder)}' is not what was saved there (a saving was cut off, or the"
            f" file is damaged or changed: its checksum differs); if it was changed on purpose, delete {SUMS_FILE}"
        )


def _require_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        finite = (tensor.float() if tensor.itemsize == 1 else tensor).isfinite()  # torch has none for 8 bits
        if not finite.all():
            count = int((~finite).sum())
            raise VentralError(f"{what}: its tensor '{printable(name)}' has {count} values that are not finite")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
