"""Making a packed set of a folder of images: in parallel, and carried on where it was cut off, to the same bits."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from ventralstream.data.class_folders import Labelled, class_folders, list_classes, list_split, require_all_classes
from ventralstream.data.folder import Preprocessing
from ventralstream.data.listing import fingerprint, require_folder
from ventralstream.data.packed import (
    HEADER,
    IDS,
    IMAGES,
    LABELS,
    SKIPPED,
    SPLITS,
    UNFINISHED,
    Header,
    files_of,
    read_header,
    write_sums,
)
from ventralstream.data.workers import Workers
from ventralstream.errors import Interrupted, VentralError, about_file, printable
from ventralstream.files import claimed, replacing, write_text
from ventralstream.interrupt import Interruption
from ventralstream.progress import Progress, print_plainly, stderr_console

Read = Tensor | tuple[str, str]  # an image's pixels; or its id, and why it cannot be read

_AT_ONCE = 1 << 22  # bytes of pixels that are read, written and noted at once; workers hand them over in shared memory


@dataclass(frozen=True)
class Packing:
    """What has been packed.

    Attributes:
        folder: The packed set.
        images: The images in it, by split.
        skipped: Those that could not be read, by split.
    """

    folder: Path
    images: dict[str, int]
    skipped: dict[str, int]


def pack_folder(
    folder: str | Path,
    out: str | Path,
    *,
    size: int,
    resize: Literal["crop", "squash"] = "crop",
    workers: int = 2,
    console: Console | None = None,
) -> Packing:
    """Packs a folder of images; see `ventralstream.data.packed` for what is made.

    What is unfinished lies in `OUT.part`, and the same call carries it on; the outcome does not depend on that, nor on
    the number of workers. Images that cannot be read are listed and left out.

    Args:
        folder: Image sets as "folder" of `load_set` takes them, with or without `val`; or `folder/<class>/...`, which
            is all to train on.
        out: Where the packed set is to be; a finished one of the same images is left as it is.
        size: Height and width of the images, in pixels.
        resize: "crop" or "squash"; see `Preprocessing`.
        workers: Processes that decode.
        console: Where progress is shown; stderr if None.

    Raises:
        VentralError: There are no images, they are others than those that `out` was begun with, none can be read, or
            the disk is too small, `out` is inside of what is packed, or another process is packing it.
        Interrupted: After Ctrl-C, SIGTERM or SIGHUP.
    """
    folder, out, preprocessing = Path(folder), Path(out), Preprocessing(size, resize=resize)
    console = stderr_console() if console is None else console
    splits = _list(folder)
    for passed_over in filter(None, (found.passed_over for found in splits.values())):
        print_plainly(console, passed_over)
    prints = {split: fingerprint(found.folder, found.ids) for split, found in splits.items()}
    classes = next(iter(splits.values())).classes
    header = Header(size, resize, classes, prints.get("train"), prints.get("val"))
    for found in splits.values():
        if found.folder.resolve() in out.resolve().parents:  # it would be one of the classes the next time
            raise VentralError(
                f"'{printable(out)}' is inside the images that are packed; choose a place outside of them"
            )
    if _is_packed(out, header):
        return _packing(out, splits)
    part, lock = (out.with_name(out.name + end) for end in (".part", ".lock"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with (
            claimed(lock, lambda other: f"{other} is packing '{printable(out)}'; let it finish"),
            Interruption() as stop,
        ):
            if not _is_packed(out, header):
                _begin(part, out, header, splits)
                for split, found in splits.items():
                    _pack_split(part, split, found, preprocessing, workers, console, stop)
                _finish(part, out, header, console)
    except OSError as error:
        raise VentralError(f"{about_file(error)}; when that is mended, the same command carries on") from None
    return _packing(out, splits)


def _is_packed(out: Path, header: Header) -> bool:
    """Whether these images are there, packed so; VentralError if something else is."""
    if not out.exists():
        return False
    if not (out / HEADER).is_file() or read_header(out) != header:
        raise VentralError(f"'{printable(out)}' exists, and is not these images packed so; choose another place.")
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)
    return True


def _list(folder: Path) -> dict[str, Labelled]:
    require_folder(folder)
    if here := [split for split in SPLITS if (folder / split).is_dir()]:
        return {split: list_split(folder, split) for split in here}
    found = list_classes(folder, class_folders(folder))
    require_all_classes(found)
    return {"train": found}


def _begin(part: Path, out: Path, header: Header, splits: dict[str, Labelled]) -> None:
    """Makes the folder for what is unfinished, or checks that it is of the same images."""
    begun = part / UNFINISHED / HEADER
    if begun.is_file():
        before = read_header(begun.parent)
        if before != header:
            now = header.to_json()
            changed = [name for name, value in before.to_json().items() if value != now[name]]
            raise VentralError(
                f"'{printable(part)}' was begun with other images or options ({', '.join(changed)}); expected the same,"
                " or that folder to be deleted."
            )
        return
    if part.exists() and any(p.name != UNFINISHED for p in part.iterdir()):
        raise VentralError(f"'{printable(part)}' is in the way, and is no unfinished packing; expected no such folder.")
    begun.parent.mkdir(parents=True, exist_ok=True)
    needed = sum(len(found.ids) for found in splits.values()) * _bytes(header.preprocessing)
    if needed > (free := shutil.disk_usage(part).free):
        shutil.rmtree(part)
        raise VentralError(
            f"'{printable(out)}' takes {needed / 1e9:.1f} GB, and only {free / 1e9:.1f} GB are free there"
        )
    write_text(begun, json.dumps(header.to_json(), indent=1))


def _pack_split(
    part: Path,
    split: str,
    found: Labelled,
    preprocessing: Preprocessing,
    workers: int,
    console: Console,
    stop: Interruption,
) -> None:
    """Packs the images of a split, from where it was left."""
    journal, path, total = part / UNFINISHED / f"{split}.jsonl", part / split / IMAGES, len(found.ids)
    path.parent.mkdir(exist_ok=True)
    so_far = _read_journal(journal, path, preprocessing)
    batch = max(1, min(512, _AT_ONCE // _bytes(preprocessing)))
    batches = (list(found.ids[i : i + batch]) for i in range(so_far.done, total, batch))
    reading = Workers(partial(_read, preprocessing, found.folder), partial(_collate, preprocessing), workers)
    with path.open("r+b") as images, journal.open("r+b") as notes:
        images.truncate(so_far.end_images)
        images.seek(so_far.end_images)
        notes.truncate(so_far.end_journal)
        notes.seek(so_far.end_journal)
        with Progress(f"packing {split}", total, "images", done=so_far.done, console=console) as progress:
            done, skipped = so_far.done, len(so_far.skipped)
            try:
                for pixels, failed in reading.read(batches):
                    images.write(pixels.numpy().data)
                    _flush(images)
                    done, skipped = done + len(pixels) + len(failed), skipped + len(failed)
                    notes.write(json.dumps({"done": done, "skipped": failed}).encode() + b"\n")
                    _flush(notes)
                    progress.update(done, f"{skipped} skipped" if skipped else "")
                    if stop.wanted and done < total:
                        raise Interrupted(
                            f"interrupted after {done} of {total} images of '{split}'; the same command carries on",
                            stop.interrupted().code,
                        )
            finally:
                reading.close()
    _write_rest(part / split, found, preprocessing, _read_journal(journal, path, preprocessing))


class _SoFar(NamedTuple):
    """What is packed of a split: how many ids are done, which were skipped and why, and how long the files are."""

    done: int
    skipped: dict[str, str]
    end_images: int
    end_journal: int


def _read_journal(journal: Path, images: Path, preprocessing: Preprocessing) -> _SoFar:
    """What the whole lines of the journal say; both files are made if they are not there, or do not agree."""
    first = len(_npy_header(0, preprocessing))
    done, end = 0, 0
    skipped: dict[str, str] = {}
    if journal.is_file() and images.is_file():
        for line in journal.read_bytes().splitlines(keepends=True):
            try:
                entry = json.loads(line if line.endswith(b"\n") else b"")
                now, failed = int(entry["done"]), dict(entry["skipped"])
            except (ValueError, TypeError, KeyError):
                break
            done, end, skipped = now, end + len(line), skipped | failed
        length = first + (done - len(skipped)) * _bytes(preprocessing)
        if images.stat().st_size >= length:
            return _SoFar(done, skipped, length, end)
    images.write_bytes(_npy_header(0, preprocessing))
    journal.write_bytes(b"")
    return _SoFar(0, {}, first, 0)


def _write_rest(folder: Path, found: Labelled, preprocessing: Preprocessing, so_far: _SoFar) -> None:
    """Writes, when all images of a split are there, what else there is to say of them."""
    kept = [i for i, id_ in enumerate(found.ids) if id_ not in so_far.skipped]
    if not kept:
        id_, why = next(iter(so_far.skipped.items()))
        raise VentralError(
            f"none of the {len(found.ids)} images in '{printable(found.folder)}' can be read; e.g. '{printable(id_)}':"
            f" {why}"
        )
    labels = np.array(found.labels, dtype=np.int64)[kept]
    with replacing(folder / LABELS) as part, part.open("wb") as file:
        np.save(file, labels)
    write_text(folder / IDS, "".join(f"{printable(found.ids[i])}\n" for i in kept))
    write_text(folder / SKIPPED, "".join(f"{printable(id_)}\t{why}\n" for id_, why in so_far.skipped.items()))
    with (folder / IMAGES).open("r+b") as images:
        images.write(_npy_header(len(kept), preprocessing))
        _flush(images)


def _finish(part: Path, out: Path, header: Header, console: Console) -> None:
    write_text(part / HEADER, json.dumps(header.to_json(), indent=1) + "\n")
    write_sums(part, files_of(header), console)
    part.rename(out)
    shutil.rmtree(out / UNFINISHED)


def _packing(out: Path, splits: dict[str, Labelled]) -> Packing:
    skipped = {split: (out / split / SKIPPED).read_text(encoding="utf-8").count("\n") for split in splits}
    return Packing(out, {split: len(found.ids) - skipped[split] for split, found in splits.items()}, skipped)


def _read(preprocessing: Preprocessing, folder: Path, id_: str) -> Read:
    """The pixels of an image, or its id and why it cannot be read."""
    try:
        return preprocessing.read(folder / id_)
    except VentralError as error:
        return id_, str(error).removeprefix(f"cannot read '{printable(folder / id_)}': ")


def _collate(
    preprocessing: Preprocessing, read: list[Tensor | tuple[str, str]]
) -> tuple[Tensor, list[tuple[str, str]]]:
    sides = (preprocessing.channels, preprocessing.size, preprocessing.size)
    pixels = [x for x in read if isinstance(x, Tensor)]
    failed = [x for x in read if not isinstance(x, Tensor)]
    return torch.stack(pixels) if pixels else torch.empty((0, *sides), dtype=torch.uint8), failed


def _bytes(preprocessing: Preprocessing) -> int:
    """Of an image."""
    return preprocessing.channels * preprocessing.size**2


def _flush(file: BinaryIO) -> None:
    """Puts on the disk what was written, so that what is noted after it is there after a power cut, too."""
    file.flush()
    os.fsync(file.fileno())


def _npy_header(count: int, preprocessing: Preprocessing) -> bytes:
    """The first bytes of a file of images; as many, whatever their number is."""
    file = io.BytesIO()
    sides = (preprocessing.channels, preprocessing.size, preprocessing.size)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (count, *sides)})
    return file.getvalue()
