"""Model features as assemblies: what areas do at each step, reduced, with times in ms from stimulus onset."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ventralstream import values
from ventralstream.errors import VentralError, unknown
from ventralstream.features.axes import Axis
from ventralstream.features.batches import ask, recorded
from ventralstream.features.extraction import weights_sha256
from ventralstream.features.reduction import PrincipalComponents, Reduction, SparseProjection
from ventralstream.features.shown import Images, Resize, shown
from ventralstream.features.sources import Shown, positions
from ventralstream.features.store import open_features
from ventralstream.jsonable import from_json
from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.record import Record

if TYPE_CHECKING:
    from xarray import DataArray

Space: TypeAlias = Literal["mean", "max", "none"]
SPACES: tuple[Space, ...] = ("mean", "max", "none")

_Batch: TypeAlias = dict[str, NDArray[Any]]  # per area [b, step, channel], or [b, step, channel, y, x]
_Batches: TypeAlias = Callable[[], Iterator[_Batch]]


def features(
    model: Network,
    stimuli: Images,
    areas: Sequence[str] | str | Record | Sequence[Record],
    *,
    stimulus_id: Sequence[str] | None = None,
    steps: int | None = None,
    record_steps: Sequence[int] | None = None,
    presentation: Presentation | None = None,
    reduce: Space = "none",
    pca: int | None = None,
    projection: int | Mapping[str, int] | None = None,
    fit_on: Images | Sequence[str] | None = None,
    resize: Resize = "squash",
    seed: int = 0,
    batch_size: int = 16,
    tell: Callable[[int], None] | None = None,
) -> dict[str, DataArray]:
    """The activations of a model's areas to stimuli, as assemblies.

    Besides the result, a batch of activations is in memory at a time. For more images than that allows, let
    `ventral extract` write them to disk, and use `features_from_store`.

    Args:
        model: The network, in whichever type of floating-point numbers; it is run in evaluation mode, where it is, and
            left as it is.
        stimuli: What is shown: `Stimuli`, the path of a folder of images (their ids are their paths relative to it), a
            list of image files, or images with their `stimulus_id`: normalised [B, C, H, W] (with a mask:
            {"image": ..., "mask": ...}), pixels (uint8), a list of them, or what gives batches of normalised images in
            the order of `stimulus_id`, such as a DataLoader.
        areas: Which areas; or one or several `Record`, which say the steps and how maps are reduced by area.
        stimulus_id: The ids of images that have none of their own.
        steps: Steps of the unroll, as for `Network`.
        record_steps: The steps to keep; by default all at which the area exists.
        presentation: What is shown when; the model's own by default.
        reduce: "none": every unit of a map is a feature; "mean" or "max" over space. Nothing is thrown away unless
            asked, here as in `Record` and `extract`, because where in the image something is may matter to a score.
        pca: Keep this many principal components of each area. One set of them for all steps, fitted on the steps that
            the image drives (our choice), so that a map shared over time has the same features at each step.
        projection: Or this many sparse random projections; by area if that differs.
        fit_on: The images that `pca` is fitted on: ids among the stimuli, or other stimuli (like `stimuli`, but a list
            is one of ids).
        resize: How pixels and files are brought to the model's size: "squash" shows the whole image, as experiments
            do; "crop" is the usual evaluation on ImageNet.
        seed: Of the projection.
        batch_size: Images at a time.
        tell: Is called after each batch with the number of images whose features are done.

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
    asked = ask(model, _records(areas, record_steps, reduce), steps, presentation)
    batch_size = values.fit(batch_size, values.Count, "batch_size")

    def run(images: Shown) -> Iterator[_Batch]:
        done = 0
        for batch in recorded(model, asked, images.all_readable(batch_size)):
            yield {area: x.float().numpy() for area, x in batch.activations.items()}
            done += len(batch.ids)
            if tell is not None and images is source:
                tell(done)

    source = shown(model, stimuli, stimulus_id, resize=resize)
    fitted: Shown | None = None
    if isinstance(fit_on, (list, tuple)) and all(isinstance(x, str) for x in fit_on):
        fitted = source.select(fit_on)
    elif fit_on is not None:
        fitted = shown(model, fit_on, resize=resize, named=False)
    attrs = {
        "model": model.spec.name,
        "weights_sha256": weights_sha256(model),
        "steps": asked.steps,
        "dt_ms": model.spec.dt_ms,
        "presentation": json.dumps(asked.presentation.to_json()),
        "preprocessing": source.preprocessing,
    }
    about = {area: attrs | {"reduce": record.reduce} for record in asked.records for area in record.areas}
    fit = None if fitted is None else _Fit(len(fitted.ids), lambda: run(fitted))
    return _assemble(asked.axes, source.ids, lambda: run(source), reduction, fit, about)


def features_from_store(
    path: str | Path,
    areas: Sequence[str] | str,
    *,
    reduce: Space = "none",
    pca: int | None = None,
    projection: int | Mapping[str, int] | None = None,
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
    about = {area: {name: array.attrs[name] for name in kept} for area, array in stored.items()}
    for attrs in about.values() if reduce != "none" else ():
        attrs["reduce"] = reduce
    return _assemble(axes, ids, lambda: read(stored, np.arange(len(ids))), reduction, fit, about)


@dataclass(frozen=True)
class _Fit:
    """The images that principal components are fitted on."""

    images: int
    batches: _Batches


@dataclass(frozen=True)
class _Reduction:
    """How many features are to be left, and how."""

    pca: int | None
    projection: int | Mapping[str, int] | None
    seed: int

    def __post_init__(self) -> None:
        if self.pca is not None and self.projection is not None:
            raise VentralError("features are reduced by pca or by projection; give one of the two")

    def projections(self, area: str) -> int | None:
        """How many projections are to be left of an area; None to leave it as it is."""
        return self.projection.get(area) if isinstance(self.projection, Mapping) else self.projection


def _records(
    areas: Sequence[str] | str | Record | Sequence[Record], record_steps: Sequence[int] | None, reduce: Space
) -> list[Record]:
    given = [areas] if isinstance(areas, (str, Record)) else list(areas)
    if not given:
        raise VentralError("features need at least one area")
    records = [x for x in given if isinstance(x, Record)]
    if records:
        if len(records) < len(given) or record_steps is not None or reduce != "none":
            raise VentralError("areas are names or Records; Records say themselves which steps, and how to reduce")
        return records
    if reduce not in SPACES:
        raise unknown("reduce", reduce, SPACES)
    return [Record([str(x) for x in given], record_steps, reduce)]


def _stored_axis(array: DataArray) -> Axis:
    shown_: Presentation = from_json(json.loads(array.attrs["presentation"]))
    steps = tuple(array["step"].values.tolist())
    return Axis(steps, array.attrs["dt_ms"], shown_.onset, int(array.attrs["first_step"]))


def _assemble(
    axes: Mapping[str, Axis],
    ids: Sequence[str],
    batches: _Batches,
    how: _Reduction,
    fit: _Fit | None,
    attrs: Mapping[str, Mapping[str, Any]],
) -> dict[str, DataArray]:
    from ventralstream.assembly import assembly

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
                if (left := how.projections(area)) is not None:
                    reductions[area] = SparseProjection(left, rows.shape[1], how.seed, f"area '{area}'")
                width = reductions[area].components if area in reductions else rows.shape[1]
                values[area] = np.empty((len(ids), width, steps), dtype=np.float32)
            if area in reductions:
                rows = reductions[area].transform(rows)
            values[area][row : row + count] = rows.reshape(count, steps, -1).transpose(0, 2, 1)
        row += count
    result = {}
    for area, axis in axes.items():
        about: dict[str, Any] = {**attrs[area], "first_step": axis.first_step}
        if (left := how.projections(area)) is not None:
            about |= {"projection": left, "seed": how.seed}
        if fit is not None and area in fitted:
            about |= {"pca": fitted[area].components, "pca_images": fit.images}
            about["pca_variance_explained"] = fitted[area].variance_explained
        width = values[area].shape[1]
        result[area] = assembly(
            values[area],
            stimulus_id=list(ids),
            neuroid_id=[f"{area}.{i}" for i in range(width)],
            neuroid={"area": np.full(width, area)} | _names(units[area], width, area in reductions, about["reduce"]),
            time_bins_ms=axis.bins_ms,
            attrs=about,
        )
    return result


def _fit(axes: Mapping[str, Axis], components: int, fit: _Fit) -> dict[str, PrincipalComponents]:
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
