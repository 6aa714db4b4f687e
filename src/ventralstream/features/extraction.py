"""Feature extraction: the activations of many images, streamed to disk in bounded memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from ventralstream.data import Skipped
from ventralstream.device import choose_device
from ventralstream.errors import Interrupted, VentralError, unknown
from ventralstream.features.axes import Axis
from ventralstream.features.batches import Asked, ask, device_of, recorded
from ventralstream.features.shown import Images, Resize, shown
from ventralstream.features.sources import Shown
from ventralstream.features.store import open_features, verify
from ventralstream.interrupt import Interruption
from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.record import Record
from ventralstream.values import Count, Natural, fit
from ventralstream.version import __version__

__all__ = ["Extraction", "extract", "open_features", "verify", "weights_sha256"]

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
    images: Images,
    record: Record | Sequence[Record],
    out: str | Path,
    *,
    stimulus_id: Sequence[str] | None = None,
    steps: int | None = None,
    presentation: Presentation | None = None,
    batch_size: int = 16,
    dtype: Literal["float32", "float16"] = "float32",
    size: int | None = None,
    resize: Resize = "squash",
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
    kind of machine). What has been damaged meanwhile is computed again.

    Files that cannot be read are left out of the arrays; the attribute `skipped` lists them and why.

    Args:
        net: The network, in whichever type of floating-point numbers; it is run in evaluation mode, and left as it is.
        images: A folder with images at any depth; their paths relative to it become the stimulus ids, sorted. Or other
            stimuli, see `ventralstream.features.shown.Images`.
        record: Areas, steps, and how maps are reduced (which is done within the unroll). Several records reduce areas
            differently, in one pass.
        out: The store to write.
        stimulus_id: The ids of images that have none of their own.
        steps: Steps of the unroll; the presentation's by default, if it is given and says so, else the spec's. No
            more are run than are recorded.
        presentation: What is shown when; the spec's by default. A folder can show an image and blanks.
        batch_size: Images at a time.
        dtype: Of the numbers on disk.
        size: Height and width the images are brought to, in pixels; the spec's by default.
        resize: How: "squash" shows the whole image, which is what experiments do, and so the default wherever
            activations are recorded; "crop" is the usual evaluation on ImageNet. See `Preprocessing`. The network's
            mean and std are used.
        workers: Threads that decode images while the network runs.
        progress: Whether to show progress on stderr, and say what was skipped and recorded too early.
        resume: Whether to carry on an unfinished extraction; else it is thrown away.
        overwrite: Whether a finished store at `out` may be replaced.
        device: Where to compute ("auto", "cpu", "cuda", ...); None is where the network is.

    Raises:
        VentralError: For bad input; if there is no readable image; if `out` is there already, or being written by
            another process; if an unfinished extraction was begun by another request, of other images, or its journal
            is damaged; if an activation is too large for `dtype`.
        Interrupted: after Ctrl-C, SIGTERM or SIGHUP; the batch that was running is stored.
    """
    from ventralstream.features.writer import Column, FeatureWriter
    from ventralstream.progress import Progress, stderr_console

    asked = ask(net, record, steps, presentation)
    if not asked.records:
        raise VentralError("there is nothing to record; give a Record, or several")
    batch_size, workers = fit(batch_size, Count, "batch_size"), fit(workers, Natural, "workers")
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    where = device_of(net) if device is None else choose_device(str(device))
    source = shown(net, images, stimulus_id, resize=resize, size=size)
    source.check(asked.presentation)
    request = _request(net, asked, source) | {"batch_size": batch_size, "dtype": dtype, "device": where.type}
    columns = {area: Column(asked.axes[area], request | about) for area, about in _about_areas(asked).items()}
    notes = {"torch_version": str(torch.__version__)} | source.notes
    writer = FeatureWriter(out, request, columns, len(source.ids), notes=notes, resume=resume, overwrite=overwrite)
    console = stderr_console(quiet=not progress)
    bar = Progress("extracting", len(source.ids), "images", done=writer.done, console=console)
    with Interruption() as stop, writer, bar:
        for line in filter(None, (source.passed_over, *_too_early(asked.axes))):
            bar.say(line)
        if writer.done or writer.lost:
            lost = f" ({writer.lost} more were not whole)" if writer.lost else ""
            bar.say(f"carrying on after {writer.done} of {len(source.ids)} files{lost}")
        try:
            batches = source.batches(batch_size, writer.done, workers)
            for batch in recorded(net, asked, batches, device=where):
                values = {area: _to_numpy(x, DTYPES[dtype], area) for area, x in batch.activations.items()}
                writer.append(values, batch.skipped)
                bar.update(writer.done)
                if stop.wanted and writer.done < len(source.ids):
                    raise stop.interrupted()
            if writer.rows == 0:
                raise VentralError(
                    f"none of the {len(source.ids)} images can be read; e.g. {writer.skipped[0]['reason']}"
                )
        except VentralError:
            if writer.rows == 0:  # nothing to carry on from
                writer.discard()
            raise
        except KeyboardInterrupt as error:
            code = error.code if isinstance(error, Interrupted) else Interrupted().code
            standing = f"interrupted after {writer.done} of {len(source.ids)} images"
            raise Interrupted(f"{standing}; the same request will carry on", code) from None
        skipped = tuple(Skipped(**s) for s in writer.skipped)
        unreadable = {s.id for s in skipped}
        writer.finish([i for i in source.ids if i not in unreadable])
        if skipped:
            bar.say(f"skipped {len(skipped)} of {len(source.ids)} files, e.g. {skipped[0].reason}")
    return Extraction(writer.out, writer.rows, skipped)


def weights_sha256(net: Network) -> str:
    """The SHA-256 of a network's weights: that of the `model.safetensors` which `save_network` writes."""
    tensors = {k: v.detach().contiguous().cpu() for k, v in net.state_dict().items()}
    return hashlib.sha256(save(tensors)).hexdigest()


def _request(net: Network, asked: Asked, source: Shown) -> dict[str, Any]:
    """What the numbers depend on."""
    about = _about_areas(asked)
    records: dict[str, Any] = {}
    for key in ("record_steps", "reduce", "of"):
        by_area = {area: one[key] for area, one in about.items()}
        values = list(by_area.values())
        records[key] = values[0] if all(v == values[0] for v in values) else by_area
    return {
        "model": net.spec.name,
        "model_spec": json.dumps(net.spec.to_json()),
        "weights_sha256": weights_sha256(net),
        "areas": list(asked.axes),
        **records,
        "steps": asked.steps,
        "dt_ms": net.spec.dt_ms,
        "presentation": json.dumps(asked.presentation.to_json()),
        "preprocessing": source.preprocessing,
        "images_fingerprint": json.dumps(source.fingerprint().to_json()),
        "ventralstream_version": __version__,
    }


def _about_areas(asked: Asked) -> dict[str, dict[str, Any]]:
    """What is recorded of each area, as attributes."""
    return {
        area: {
            "record_steps": "all" if record.steps is None else list(record.steps),
            "reduce": record.reduce,
            "of": record.of,
            "first_step": asked.axes[area].first_step,
        }
        for record in asked.records
        for area in record.areas
    }


def _to_numpy(values: Tensor, dtype: torch.dtype, area: str) -> NDArray[Any]:
    stored = values.to(dtype)
    if (stored.isinf() & values.isfinite()).any():
        largest = f"{torch.finfo(dtype).max:g}"
        name = str(dtype).removeprefix("torch.")
        wider = "; use float32" if dtype == torch.float16 else ""
        raise VentralError(f"area '{area}' has activations beyond {largest}, too large for {name}{wider}")
    return np.ascontiguousarray(stored.numpy())


def _too_early(axes: Mapping[str, Axis]) -> list[str]:
    lines = []
    for area, axis in axes.items():
        if axis.early:
            lines.append(
                f"the image first drives area '{area}' at step {axis.first_step}; what is recorded at step"
                f"{'s' if len(axis.early) > 1 else ''} {', '.join(map(str, axis.early))} is the same for every image"
            )
    return lines
