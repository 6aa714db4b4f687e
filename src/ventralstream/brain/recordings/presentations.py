"""Recordings as assemblies (`ventralstream.assembly`): select, rebin, average, align, leave out the unusable."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray
from xarray import DataArray

from ventralstream.arrays import as_keys, as_text
from ventralstream.assembly import (
    TimeBins,
    check,
    check_finite,
    names_of,
    pairs,
    plain,
    span_of,
    time_bins_of,
    with_time_bins,
)
from ventralstream.errors import VentralError, unknown


def rebin(recordings: DataArray, time_bins_ms: TimeBins) -> DataArray:
    """Brings an assembly to wider time bins, each of which its own bins must fill without gap or overlap.

    Rates are averaged (weighted by the bins' widths), counts (attribute `unit` "spikes") added up.

    Raises:
        VentralError: for a bin that its own bins do not fill.
    """
    recordings = check(recordings)
    own = np.array(time_bins_of(recordings))
    targets = pairs(time_bins_ms)
    weights = np.zeros((len(own), len(targets)))
    widths = own[:, 1] - own[:, 0]
    for j, (start, end) in enumerate(targets):
        inside = bins_within(own, start, end)
        held = own[inside]
        ordered = held[np.argsort(held[:, 0])]
        edges = [start, *ordered.ravel().tolist(), end]
        if not len(inside) or not np.allclose(edges[::2], edges[1::2]):
            raise VentralError(
                f"the recordings' time bins do not fill the bin {start:g} to {end:g} ms; they are {span_of(own)}"
            )
        weights[inside, j] = 1 if recordings.attrs.get("unit") == "spikes" else widths[inside] / widths[inside].sum()
    values = np.stack([recordings.values[..., w > 0] @ w[w > 0] for w in weights.T], axis=-1)
    return with_time_bins(recordings, values.astype(recordings.dtype), targets)


def bins_within(bins: NDArray[np.float64], start_ms: float, end_ms: float) -> NDArray[np.int64]:
    """Which of the bins [n, 2] lie within start_ms..end_ms, to a millionth of a millisecond."""
    return np.flatnonzero((bins[:, 0] >= start_ms - 1e-6) & (bins[:, 1] <= end_ms + 1e-6))


def select(recordings: DataArray, /, **wanted: Any) -> DataArray:
    """Picks presentations, neuroids and time bins by their coordinates.

    `select(recordings, region="IT", repetition=range(10))` are the first ten repetitions of what IT says.

    Args:
        recordings: An assembly; its order is kept.
        wanted: For each coordinate a value, a collection of values, or a slice(low, high) for low <= value < high.
            Names are compared as everywhere: 1 is "1".

    Raises:
        VentralError: for an unknown coordinate or value (naming the nearest), or if nothing is left.
    """
    recordings = plain(recordings)
    for name, want in wanted.items():
        if name not in recordings.coords or len(recordings[name].dims) != 1:
            raise unknown("coordinate", name, (n for n, c in recordings.coords.items() if len(c.dims) == 1))
        coordinate = recordings[name]
        values = coordinate.values
        keep = np.ones(len(values), dtype=bool)
        if isinstance(want, slice):
            try:
                if want.start is not None:
                    keep &= values >= want.start
                if want.stop is not None:
                    keep &= values < want.stop
            except TypeError:
                what = "text" if values.dtype.kind in "OSTU" else str(values.dtype)
                raise VentralError(f"'{name}' is {what}, which cannot be compared with {want}") from None
        else:
            several = isinstance(want, (Collection, np.ndarray)) and not isinstance(want, (str, bytes))
            choices = np.asarray(list(want) if several else [want])
            if "b" not in (kinds := values.dtype.kind + choices.dtype.kind) and not set(kinds) <= set("iuf"):
                values, choices = as_keys(as_text(values)), as_keys(as_text(choices))
            absent = choices[~np.isin(choices, values)]
            if len(absent):
                raise unknown(name, absent[0], dict.fromkeys(values.tolist()))
            keep = np.isin(values, choices)
        if not keep.any():
            raise VentralError(f"no {coordinate.dims[0]} has '{name}' in {want}")
        recordings = recordings.isel({coordinate.dims[0]: np.flatnonzero(keep)})
    return recordings


def mean_repetitions(recordings: DataArray) -> DataArray:
    """Averages the presentations of each stimulus; missing responses are left out of the mean.

    Args:
        recordings: An assembly.

    Returns:
        A presentation for each stimulus, in the order they first come. Coordinates that differ between repetitions are
        dropped; `n_repetitions` says how many presentations there were (if the recordings have no coordinate of that
        name). NaN only where all responses are missing.

    Raises:
        VentralError: It is no assembly, stimuli have no name (counting them), or responses are infinite.
    """
    recordings = check(recordings)
    _, first, code = np.unique(names_of(recordings, "stimulus_id"), return_index=True, return_inverse=True)
    order = np.argsort(first)  # of the stimuli, by their first presentation
    rank = np.argsort(order)[code]
    rows = np.split(np.argsort(rank, kind="stable"), np.cumsum(np.bincount(rank))[:-1])
    values = np.empty((len(rows), *recordings.shape[1:]), recordings.dtype)
    source = recordings.values
    for i, row in enumerate(rows):
        responses = source[row]
        there = ~np.isnan(responses)
        with np.errstate(invalid="ignore"):
            values[i] = np.where(there, responses, 0).sum(0) / there.sum(0)
    check_finite(values)
    coords = {"n_repetitions": xarray.Variable("presentation", np.bincount(rank))}
    for name, c in ((str(n), c) for n, c in recordings.coords.items()):
        if "presentation" not in c.dims:
            coords[name] = c.variable
        elif len(c.dims) > 1:  # one value for each presentation and something else has no place here
            continue
        elif name == "stimulus_id" or (name != "repetition" and _same(c.values, c.values[first[order]][rank])):
            coords[name] = xarray.Variable("presentation", c.values[first[order]])
    return DataArray(values, dims=recordings.dims, coords=coords, attrs=recordings.attrs)


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two columns are equal; what is missing in both is."""
    return bool(((one == other) | ((one != one) & (other != other))).all())


def align(features: DataArray, recordings: DataArray) -> DataArray:
    """Brings features to the recordings' presentations, by stimulus_id.

    Args:
        features: Assembly with one presentation for each stimulus; stimuli that were not recorded are left out.
        recordings: Assembly; a stimulus presented several times gets its features as often.

    Returns:
        The features, row for row those of the recordings' presentations.

    Raises:
        VentralError: Recorded stimuli have no features, or a stimulus has several.
    """
    features = check(features)
    have, want = (names_of(a, "stimulus_id") for a in (features, check(recordings)))
    position = {id_: i for i, id_ in enumerate(have.tolist())}
    if len(position) < len(have):
        twice = next(id_ for i, id_ in enumerate(have.tolist()) if position[id_] != i)
        raise VentralError(
            f"stimulus '{twice}' is {np.count_nonzero(have == twice)} times among the features;"
            " expected each stimulus once"
        )
    recorded = dict.fromkeys(want.tolist())
    absent = [id_ for id_ in recorded if id_ not in position]
    if absent:
        raise VentralError(
            f"{len(absent)} of the {len(recorded)} recorded stimuli have no features, e.g. '{absent[0]}';"
            f" the features are of {len(position)} stimuli, e.g. '{next(iter(position), '')}'"
        )
    rows = np.array([position[id_] for id_ in want.tolist()], dtype=int)
    return features if np.array_equal(rows, np.arange(len(have))) else features.isel(presentation=rows)


@dataclass(frozen=True)
class Exclusions:
    """Which neuroids were left out, and why; `str()` says it in a sentence.

    Attributes:
        of: How many neuroids there were.
        missing: Those that lack a response.
        no_variance: Those that respond to every presentation alike, in each time bin.
    """

    of: int
    missing: tuple[str, ...] = ()
    no_variance: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """How many neuroids are left."""
        return self.of - len(self.missing) - len(self.no_variance)

    def __str__(self) -> str:
        reasons = []
        for ids, why in ((self.missing, "with missing responses"), (self.no_variance, "without variance")):
            if ids:
                reasons.append(f"{len(ids)} {why} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})")
        if not reasons:
            return f"all {self.of} neuroids are usable"
        return f"{self.of - self.kept} of {self.of} neuroids left out: {', '.join(reasons)}"


def usable(recordings: DataArray) -> tuple[DataArray, Exclusions]:
    """Leaves out neuroids that nothing can be scored on: with missing responses, or without variance.

    A neuroid that varies in some time bins is kept. Average repetitions first (`mean_repetitions`), so that a missing
    trial is no missing response.

    Args:
        recordings: An assembly.

    Returns:
        The assembly of the others, and what was left out and why.

    Raises:
        VentralError: No neuroid is left.
    """
    keep, found = usable_rows(recordings := check(recordings))
    return recordings.isel(neuroid=keep), found


def usable_rows(recordings: DataArray) -> tuple[NDArray[np.int64], Exclusions]:
    """Which neuroids `usable` keeps, and which it leaves out, of an assembly that is checked."""
    values = recordings.values
    missing = np.isnan(values).any(axis=(0, *range(2, values.ndim)))
    low, high = (np.asarray(f(values, axis=0, initial=s)) for f, s in ((np.min, np.inf), (np.max, -np.inf)))
    rounding = 8 * np.finfo(values.dtype).eps * np.maximum(abs(low), abs(high))  # that of a mean of equal values
    constant = ~missing & ~(high - low > rounding).reshape(len(missing), -1).any(1)
    ids = recordings["neuroid_id"].values.astype(str)
    found = Exclusions(len(ids), tuple(ids[missing].tolist()), tuple(ids[constant].tolist()))
    if found.kept == 0:
        raise VentralError(f"no neuroid is usable: {found}")
    return np.flatnonzero(~missing & ~constant), found
