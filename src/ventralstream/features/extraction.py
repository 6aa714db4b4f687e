"""Feature extraction: the activations of a folder of images, streamed to disk in bounded memory."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from safetensors.torch import save
from torch import Tensor

from ventralstream.data import Preprocessing, Skipped, list_images, read_batches
from ventralstream.errors import VentralError, unknown
from ventralstream.features.store import AreaAxis, FeatureWriter, open_features
from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.program import Request
from ventralstream.record import Record
from ventralstream.version import __version__

__all__ = ["Extraction", "extract", "first_driven_steps", "open_features", "weights_sha256"]

DTYPES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class Extraction:
    """What `extract` has written.

    Attributes:
        path: The store; open it with `open_features(path, area)`.
        images: How many images are in it.
        skipped: The files that could not be read, and why.
    """

    path: Path
    images: int
    skipped: tuple[Skipped, ...]


def extract(
    net: Network,
    folder: str | Path,
    record: Record,
    out: str | Path,
    *,
    steps: int | None = None,
    presentation: Presentation | None = None,
    batch_size: int = 16,
    dtype: Literal["float32", "float16"] = "float32",
    size: int | None = None,
    resize: Literal["crop", "squash"] = "crop",
    workers: int = 2,
    progress: bool = True,
    resume: bool = True,
    overwrite: bool = False,
    device: str | torch.device | None = None,
) -> Extraction:
    """Streams the activations of a folder of images to disk, one batch in memory at a time.

    The result is a zarr store with a group for each area; `open_features` or one line of xarray opens it:
    `xarray.open_zarr(out, group="conv5").activations`, with the dimensions stimulus, step, channel (y, x).
    It grows as `out` + ".part" and is renamed when complete. An extraction that was cut off, at whatever
    moment, is carried on by the same call, and gives the same numbers as one that was not (on the same
    kind of machine).

    Files that cannot be read are left out of the arrays; the attribute `skipped` lists them and why.

    Args:
        net: The network; it is run in evaluation mode, and left as it is.
        folder: Images at any depth; their paths relative to it become the stimulus ids, sorted.
        record: Areas, steps, and how maps are reduced (which is done within the unroll).
        out: The store to write.
        steps: Steps of the unroll; the presentation's by default, if it is given and says so, else the spec's. No
            more are run than are recorded.
        presentation: What is shown when; the spec's by default. A folder can show an image and blanks.
        batch_size: Images at a time.
        dtype: Of the numbers on disk.
        size: Height and width the images are brought to, in pixels; the spec's by default.
        resize: How; see `Preprocessing`. The network's mean and std are used.
        workers: Threads that decode images while the network runs.
        progress: Whether to show progress on stderr, and say what was skipped and recorded too early.
        resume: Whether to carry on an unfinished extraction; else it is thrown away.
        overwrite: Whether a finished store at `out` may be replaced.
        device: Where to compute; None is where the network is.

    Raises:
        VentralError: For bad input; if there is no readable image; if `out` is there already; if an
            unfinished extraction was begun by another request; if an activation is too large for float16.
    """
    steps = net.count_steps(steps, presentation)
    presentation = presentation or net.spec.presentation
    if batch_size < 1 or workers < 0:
        raise VentralError(f"batch_size is {batch_size} and workers {workers}; expected at least 1 and at least 0")
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    for segment in presentation.segments:
        if segment.shows not in ("image", "blank"):
            raise VentralError(f"a folder of images cannot show a '{segment.shows}', only images and blanks")
    if record.steps == ():
        raise VentralError("the record names no step; leave its steps out to keep all of them")
    preprocessing = _preprocessing(net, size, resize)
    recorded = record.resolve(net.spec, 0, steps)
    net = _in_evaluation(net, _device(net, device))
    first = first_driven_steps(net, record, presentation, steps)
    axes = {a: AreaAxis(ts, net.times_ms(ts), first[a]) for a, ts in recorded.items()}

    folder = Path(folder)
    ids = list_images(folder)
    request = {
        "model": net.spec.name,
        "model_spec": json.dumps(net.spec.to_json()),
        "weights_sha256": weights_sha256(net),
        "areas": list(record.areas),
        "record_steps": "all" if record.steps is None else list(record.steps),
        "reduce": record.reduce,
        "of": record.of,
        "steps": steps,
        "dt_ms": net.spec.dt_ms,
        "presentation": json.dumps(presentation.to_json()),
        "preprocessing": json.dumps(preprocessing.to_json()),
        "images_sha256": _images_sha256(folder, ids),
        "batch_size": batch_size,  # the last digits depend on it
        "dtype": dtype,
        "device": _device(net, None).type,
        "ventralstream_version": __version__,
    }
    notes = {"folder": str(folder.resolve()), "torch_version": str(torch.__version__)}
    writer = FeatureWriter(out, request, axes, notes=notes, resume=resume, overwrite=overwrite)

    console = Console(stderr=True, quiet=not progress, soft_wrap=True, markup=False, highlight=False)
    for line in _too_early(axes):
        console.print(line)
    if writer.images_done:
        console.print(f"carrying on after {writer.images_done} of {len(ids)} files")
    stop = _stop(net, recorded, steps)
    try:
        with _progress(console) as bar, torch.no_grad():
            task = bar.add_task("", total=len(ids), completed=writer.images_done)
            start = writer.images_done
            for batch in read_batches(folder, ids, batch_size, preprocessing, start=start, workers=workers):
                values = {}
                if batch.ids:
                    images = batch.images.to(_device(net, None))
                    output = net(images, stop, presentation=presentation, record=record)
                    values = {a: _to_numpy(output[a].values, DTYPES[dtype], a) for a in record.areas}
                writer.append(values, batch.skipped)
                bar.update(task, completed=writer.images_done)
        if writer.rows == 0:
            raise VentralError(
                f"none of the {len(ids)} images in '{folder}' can be read; e.g. {writer.skipped[0]['reason']}"
            )
    except VentralError:
        if writer.rows == 0:  # nothing to carry on from
            writer.discard()
        raise
    skipped = tuple(Skipped(**s) for s in writer.skipped)
    unreadable = {s.id for s in skipped}
    writer.finish([i for i in ids if i not in unreadable])
    if skipped:
        console.print(f"skipped {len(skipped)} of {len(ids)} files, e.g. {skipped[0].reason}")
    return Extraction(writer.out, writer.rows, skipped)


def first_driven_steps(net: Network, record: Record, presentation: Presentation, steps: int) -> dict[str, int]:
    """The first step at which the image drives each recorded area, with this presentation.

    `Network.first_steps` is that for an image shown from step 0; here the image may come after a blank.

    Args:
        net: The network, in evaluation mode.
        record: The areas, and whether their output or their state.
        presentation: What is shown when.
        steps: Steps of the unroll; more are looked at where these are too few.

    Raises:
        VentralError: The image never drives an area.
    """
    onset = next((t for t in range(presentation.last_change + 1) if presentation.frame(t).is_stimulus), None)
    if onset is None:
        raise VentralError("the presentation never shows the image")
    first = {}
    for area in record.areas:
        stop = max(steps, onset + net.first_steps[area] + 1)
        there = Record(area, of=record.of).resolve(net.spec, 0, stop)[area]
        pairs = frozenset((area, t) for t in there)
        of_state = record.of == "state"
        none: frozenset[tuple[str, int]] = frozenset()
        asked = Request(0, stop, presentation, none if of_state else pairs, pairs if of_state else none)
        program = net.plan(asked)
        found = program.states if of_state else program.outputs
        driven = [t for t in there if program.values[found[area, t]].stimulus]
        if not driven:
            raise VentralError(f"with this presentation the image never drives area '{area}'")
        first[area] = driven[0]
    return first


def weights_sha256(net: Network) -> str:
    """The SHA-256 of a network's weights: that of the `model.safetensors` which `save_network` writes."""
    tensors = {k: v.detach().contiguous().cpu() for k, v in net.state_dict().items()}
    return hashlib.sha256(save(tensors)).hexdigest()


def _preprocessing(net: Network, size: int | None, resize: Literal["crop", "squash"]) -> Preprocessing:
    height, width = net.spec.input_shape[1:]
    if size is None and height != width:
        raise VentralError(f"'{net.spec.name}' takes {height} x {width} pixels; give a (square) size")
    return Preprocessing(height if size is None else size, net.spec.mean, net.spec.std, resize)


def _device(net: Network, device: str | torch.device | None) -> torch.device:
    if device is None:
        return next((t.device for t in net.state_dict().values()), torch.device("cpu"))
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise VentralError(f"the device '{device}' cannot be used: {str(error).splitlines()[0]}") from None


def _in_evaluation(net: Network, device: torch.device) -> Network:
    """The network in evaluation mode on a device: itself if it is that already, else a copy."""
    if device == _device(net, None) and not any(m.training for m in net.modules()):
        return net
    return copy.deepcopy(net).to(device).eval()


def _stop(net: Network, recorded: dict[str, tuple[int, ...]], steps: int) -> int:
    """How many steps to run: what comes after the last recorded one cannot change it."""
    last = max(t for ts in recorded.values() for t in ts)
    logits = net.spec.area(net.spec.readout_area).start  # the unroll always gives logits
    return min(steps, 1 + max(last, logits))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("extracting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def _to_numpy(values: Tensor, dtype: torch.dtype, area: str) -> NDArray[Any]:
    stored = values.to(dtype)
    if (stored.isinf() & values.isfinite()).any():
        raise VentralError(f"area '{area}' has activations beyond 65504, too large for float16; use float32")
    return np.ascontiguousarray(stored.cpu().numpy())


def _images_sha256(folder: Path, ids: Sequence[str]) -> str:
    """Of the files' names and sizes: enough to notice that a folder has changed, without reading it twice."""
    digest = hashlib.sha256()
    for id_ in ids:
        try:
            size = (folder / id_).stat().st_size
        except OSError:  # it will be skipped
            size = -1
        digest.update(f"{id_}\0{size}\n".encode())
    return digest.hexdigest()


def _too_early(axes: dict[str, AreaAxis]) -> list[str]:
    lines = []
    for area, axis in axes.items():
        early = [t for t in axis.steps if t < axis.first_step]
        if early:
            lines.append(
                f"the image first drives area '{area}' at step {axis.first_step}; what is recorded at step"
                f"{'s' if len(early) > 1 else ''} {', '.join(map(str, early))} is the same for every image"
            )
    return lines
