"""Model features as assemblies: what areas do at each step, reduced, with times in ms from stimulus onset."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from xarray import DataArray

from ventralstream.assembly import assembly
from ventralstream.data.stimuli import Stimuli
from ventralstream.errors import VentralError, unknown
from ventralstream.features.extraction import first_driven_steps, open_features, weights_sha256
from ventralstream.features.reduction import PrincipalComponents, Reduction, SparseProjection
from ventralstream.features.shown import Images, Shown, positions, shown
from ventralstream.jsonable import from_json
from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.record import Record

Space: TypeAlias = Literal["mean", "max", "none"]
SPACES: tuple[Space, ...] = ("mean", "max", "none")

_Batch: TypeAlias = dict[str, NDArray[Any]]  # per area [b, step, channel], or [b, step, channel, y, x]
_Batches: TypeAlias = Callable[[], Iterator[_Batch]]


def features(
    model: Network,
    stimuli: Images,
    areas: Sequence[str] | str,
    *,
    stimulus_id: Sequence[str] | None = None,
    steps: int | None = None,
    record_steps: Sequence[int] | None = None,
    presentation: Presentation | None = None,
    reduce: Space = "mean",
    pca: int | None = None,
    projection: int | None = None,
    fit_on: Images | Sequence[str] | None = None,
    resize: Literal["squash", "crop"] = "squash",
    seed: int = 0,
    batch_size: int = 16,
) -> dict[str, DataArray]:
    """The activations of a model's areas to stimuli, as assemblies.

    Besides the result, a batch of activations is in memory at a time. For more images than that allows, let
    `ventral extract` write them to disk, and use `features_from_store`.

    Args:
        model: The network; it is run in evaluation mode, where it is, and left as it is.
        stimuli: What is shown: `Stimuli`, the path of a folder of images (their ids are their paths relative to it),
            or normalised images [B, C, H, W] (with a mask: {"image": ..., "mask": ...}) with their `stimulus_id`.
        areas: Which areas.
        stimulus_id: The ids of images given as tensors.
        steps: Steps of the unroll, as for `Network`.
        record_steps: The steps to keep; by default all at which the area exists.
        presentation: What is shown when; the model's own by default.
        reduce: "mean" or "max" over space, or "none": every unit of the map is a feature.
        pca: Keep this many principal components of each area. One set of them for all steps, fitted on the steps that
            the image drives (our choice), so that a map shared over time has the same features at each step.
        projection: Or this many sparse random projections.
        fit_on: The images that `pca` is fitted on: ids among the stimuli, or other stimuli (like `stimuli`).
        resize: How `Stimuli` and files are brought to the model's size: "squash" shows the whole image, as experiments
            do; "crop" is the usual evaluation on ImageNet, and the default of `ventral extract`.
        seed: Of the projection.
        batch_size: Images at a time.

    Returns:
        Per area an assembly [presentation, neuroid, time_bin], float32. Step t lasts from t * dt_ms to (t + 1) * dt_ms,
        less the time at which the presentation first shows the stimulus. On neuroids `neuroid_id`, `area`, and
        `channel` (and `y`, `x`), or `component`. The attributes say what it is of; `first_step` is the first step that
        the stimulus drives. (A dict, because areas may exist at different steps.)

    Raises:
        VentralError: for bad input, an image that cannot be read, more components than features, or `pca` without
            images to fit it on.
    """
    reduction = _Reduction(pca, projection, seed)
    if reduce not in SPACES:
        raise unknown("reduce", reduce, SPACES)
    net = copy.deepcopy(model).eval() if any(m.training for m in model.modules()) else model
    steps = net.count_steps(steps, presentation)
    presentation = presentation or net.spec.presentation
    record = Record(areas, None if record_steps is None else tuple(record_steps), reduce)
    if record.steps == ():
        raise VentralError("record_steps names no step; leave it out to keep all of them")
    recorded = record.resolve(net.spec, 0, steps)
    first = first_driven_steps(net, record, presentation, steps)
    axes = {a: _Axis(ts, net.spec.dt_ms, _onset(presentation), first[a]) for a, ts in recorded.items()}
    last = max(t for ts in recorded.values() for t in ts)
    stop = min(steps, 1 + max(last, net.spec.area(net.spec.readout_area).start))  # the unroll always gives logits

    def run(images: Shown) -> Iterator[_Batch]:
        for stimulus in images.batches(batch_size):
            with torch.no_grad():
                output = net(stimulus, stop, presentation=presentation, record=record)
            yield {a: output[a].values.float().cpu().numpy() for a in record.areas}

    images = shown(net, stimuli, stimulus_id, resize)
    fitted: Shown | None = None
    if isinstance(fit_on, (Stimuli, str, Path, Tensor, Mapping)):
        fitted = shown(net, fit_on, None, resize, named=False)
    elif fit_on is not None:
        fitted = images.select(fit_on)
    attrs = {
        "model": net.spec.name,
        "weights_sha256": weights_sha256(net),
        "steps": steps,
        "dt_ms": net.spec.dt_ms,
        "presentation": json.dumps(presentation.to_json()),
        "preprocessing": images.preprocessing,
        "reduce": reduce,
    }
    fit = None if fitted is None else _Fit(len(fitted.ids), lambda: run(fitted))
    return _assemble(axes, images.ids, lambda: run(images), reduction, fit, attrs)


def features_from_store(
    path: str | Path,
    areas: Sequence[str] | str,
    *,
    reduce: Space = "none",
    pca: int | None = None,
    projection: int | None = None,
    fit_on: Sequence[str] | Path | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> dict[str, DataArray]:
    """The features that `ventral extract` has written, as assemblies; see `features`.

    Args:
        path: The store.
        areas: Which of its areas.
        reduce: "mean" or "max" over space, where the store holds maps; "none": what is stored.
        pca: As in `features`.
        projection: As in `features`.
        fit_on: The images that `pca` is fitted on: ids in the store, or the `Path` of another store of the same model.
        seed: Of the projection.
        batch_size: Images in memory at a time, besides the result.

    Raises:
        VentralError: There is no finished store, no such area in it, or the reduction cannot be made.
    """
    reduction = _Reduction(pca, projection, seed)
    if reduce not in SPACES:
        raise unknown("reduce", reduce, SPACES)
    names = (areas,) if isinstance(areas, str) else tuple(areas)
    if not names:
        raise VentralError("features need at least one area")
    stored = {a: open_features(path, a) for a in names}
    axes = {a: _stored_axis(array) for a, array in stored.items()}
    for area, array in stored.items():
        if reduce != "none" and array.ndim != 5:
            raise VentralError(f"'{path}' holds no maps of area '{area}' to take the {reduce} of; leave reduce out")

    def read(source: Mapping[str, DataArray], rows: NDArray[np.int64]) -> Iterator[_Batch]:
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            batch = {a: source[a].isel(stimulus=some).values.astype(np.float32, copy=False) for a in names}
            if reduce != "none":
                batch = {a: v.mean((3, 4)) if reduce == "mean" else v.max((3, 4)) for a, v in batch.items()}
            yield batch

    one = stored[names[0]]
    ids = [str(id_) for id_ in one["stimulus_id"].values.tolist()]
    fit: _Fit | None = None
    if isinstance(fit_on, Path):
        other = {a: open_features(fit_on, a) for a in names}
        if other[names[0]].attrs["weights_sha256"] != one.attrs["weights_sha256"]:
            raise VentralError(f"'{fit_on}' and '{path}' are features of different weights")
        if any(_stored_axis(other[a]) != axes[a] or other[a].shape[2:] != stored[a].shape[2:] for a in names):
            raise VentralError(f"'{fit_on}' and '{path}' are features of different steps or shapes")
        count = other[names[0]].sizes["stimulus"]
        fit = _Fit(count, lambda: read(other, np.arange(count)))
    elif fit_on is not None:
        rows = positions(ids, fit_on)
        fit = _Fit(len(rows), lambda: read(stored, rows))
    kept = ("model", "weights_sha256", "steps", "dt_ms", "presentation", "preprocessing", "reduce")
    attrs = {name: one.attrs[name] for name in kept}
    if reduce != "none":
        attrs["reduce"] = reduce
    return _assemble(axes, ids, lambda: read(stored, np.arange(len(ids))), reduction, fit, attrs)


@dataclass(frozen=True)
class _Axis:
    """An area's time: its recorded steps, and what they are in ms."""

    steps: tuple[int, ...]
    dt_ms: float
    onset: int
    first_step: int

    @property
    def bins_ms(self) -> list[tuple[float, float]]:
        return [((t - self.onset) * self.dt_ms, (t - self.onset + 1) * self.dt_ms) for t in self.steps]

    @property
    def driven(self) -> NDArray[np.int64]:
        """Where in the recorded steps the image matters."""
        return np.flatnonzero(np.array(self.steps) >= self.first_step)


@dataclass(frozen=True)
class _Fit:
    """The images that principal components are fitted on."""

    images: int
    batches: _Batches


@dataclass(frozen=True)
class _Reduction:
    """How many features are to be left, and how."""

    pca: int | None
    projection: int | None
    seed: int

    def __post_init__(self) -> None:
        if self.pca is not None and self.projection is not None:
            raise VentralError("features are reduced by pca or by projection; give one of the two")


def _onset(presentation: Presentation) -> int:
    """The step at which the stimulus is first shown."""
    for t in range(presentation.last_change + 1):
        if presentation.frame(t).is_stimulus:
            return t
    raise VentralError("the presentation never shows the image")


def _stored_axis(array: DataArray) -> _Axis:
    onset = _onset(from_json(json.loads(array.attrs["presentation"])))
    return _Axis(tuple(array["step"].values.tolist()), array.attrs["dt_ms"], onset, int(array.attrs["first_step"]))


def _assemble(
    axes: Mapping[str, _Axis],
    ids: Sequence[str],
    batches: _Batches,
    how: _Reduction,
    fit: _Fit | None,
    attrs: Mapping[str, Any],
) -> dict[str, DataArray]:
    if fit is not None and how.pca is None:
        raise VentralError("fit_on says what pca is fitted on, but there is no pca")
    reductions: dict[str, Reduction] = {}
    fitted: dict[str, PrincipalComponents] = {}
    if how.pca is not None:
        if fit is None:
            raise VentralError("pca needs fit_on: the images that the components are fitted on")
        fitted = _fit(axes, how.pca, fit)
        reductions.update(fitted)
    values: dict[str, NDArray[np.float32]] = {}
    units: dict[str, tuple[int, ...]] = {}
    row = 0
    for batch in batches():
        for area, activations in batch.items():
            count, steps, *unit = activations.shape
            rows = activations.reshape(count * steps, -1)
            if row == 0:
                units[area] = tuple(unit)
                if how.projection is not None:
                    reductions[area] = SparseProjection(how.projection, rows.shape[1], how.seed, f"area '{area}'")
                width = reductions[area].components if area in reductions else rows.shape[1]
                values[area] = np.empty((len(ids), width, steps), dtype=np.float32)
            if area in reductions:
                rows = reductions[area].transform(rows)
            values[area][row : row + count] = rows.reshape(count, steps, -1).transpose(0, 2, 1)
        row += count
    result = {}
    for area, axis in axes.items():
        about: dict[str, Any] = {**attrs, "first_step": axis.first_step}
        if how.projection is not None:
            about |= {"projection": how.projection, "seed": how.seed}
        if fit is not None and area in fitted:
            about |= {"pca": fitted[area].components, "pca_images": fit.images}
            about["pca_variance_explained"] = fitted[area].variance_explained
        width = values[area].shape[1]
        result[area] = assembly(
            values[area],
            stimulus_id=list(ids),
            neuroid_id=[f"{area}.{i}" for i in range(width)],
            neuroid={"area": np.full(width, area)} | _names(units[area], width, area in reductions, attrs["reduce"]),
            time_bins_ms=axis.bins_ms,
            attrs=about,
        )
    return result


def _fit(axes: Mapping[str, _Axis], components: int, fit: _Fit) -> dict[str, PrincipalComponents]:
    fitted = {area: PrincipalComponents(components, f"area '{area}'") for area in axes}
    for batch in fit.batches():
        for area, activations in batch.items():
            driven = activations[:, axes[area].driven]
            fitted[area].add(driven.reshape(driven.shape[0] * driven.shape[1], math.prod(driven.shape[2:])))
    for one in fitted.values():
        one.finish()
    return fitted


def _names(unit: tuple[int, ...], width: int, reduced: bool, stored: str) -> dict[str, NDArray[np.int64]]:
    """The coordinates of features: a component, a channel, a unit of a map, or what a store has flattened."""
    if reduced:
        return {"component": np.arange(width)}
    if stored == "flatten":
        return {"feature": np.arange(width)}
    return dict(zip(("channel", "y", "x"), np.indices(unit).reshape(len(unit), -1), strict=False))
