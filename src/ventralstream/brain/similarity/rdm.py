"""Representational similarity: dissimilarity matrices (RDMs), their comparison, also over time, and linear CKA.

RDMs, their comparison and noise ceilings are rsatoolbox's; this file brings named arrays to it and says in words what
cannot be compared. With "correlation" and "spearman" the numbers are Brain-Score's too (RDMs and their upper triangles,
Kriegeskorte et al. 2008).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ventralstream.brain.arrays import coordinate
from ventralstream.brain.score import Score
from ventralstream.errors import VentralError, unknown

Floats = NDArray[np.float64]
Measure = Literal["correlation", "euclidean", "crossnobis"]
Comparison = Literal["spearman", "pearson", "cosine"]
Noise = Literal["identity", "shrinkage"]

_COMPARISONS = {"spearman": "spearman", "pearson": "corr", "cosine": "cosine"}  # ours: rsatoolbox's


@dataclass(frozen=True)
class Rdm:
    """How dissimilar a representation makes each pair of stimuli.

    Attributes:
        values: The upper triangle, row by row: [n * (n - 1) / 2]; NaN where undefined.
        stimulus_id: [n].
        measure: The dissimilarity's name.
    """

    values: Floats
    stimulus_id: NDArray[Any]
    measure: str

    def __post_init__(self) -> None:
        n = len(self.stimulus_id)
        if self.values.shape != (n * (n - 1) // 2,):
            raise VentralError(f"an RDM of {n} stimuli has {n * (n - 1) // 2} values; got {self.values.shape}")
        if len(np.unique(self.stimulus_id)) < n:
            raise VentralError("an RDM has each stimulus once; some stimulus_id is there more than once")

    @classmethod
    def from_square(cls, square: ArrayLike, stimulus_id: ArrayLike, measure: str) -> Rdm:
        """An RDM from its whole matrix, [n, n], symmetric."""
        matrix, ids = np.asarray(square, dtype=np.float64), np.asarray(stimulus_id)
        if matrix.shape != (len(ids), len(ids)) or not np.allclose(matrix, matrix.T, equal_nan=True):
            raise VentralError(f"an RDM of {len(ids)} stimuli is a symmetric matrix of their pairs; got {matrix.shape}")
        return cls(matrix[np.triu_indices(len(ids), k=1)], ids, measure)

    def square(self) -> Floats:
        """The whole matrix, [n, n], symmetric, with a zero diagonal."""
        n = len(self.stimulus_id)
        square = np.zeros((n, n))
        square[np.triu_indices(n, k=1)] = self.values
        return square + square.T

    def select(self, stimulus_id: NDArray[Any]) -> Rdm:
        """The RDM of these stimuli, in this order.

        Raises:
            VentralError: When one of them is not there.
        """
        row = {stimulus: i for i, stimulus in enumerate(self.stimulus_id.tolist())}
        missing = [stimulus for stimulus in stimulus_id.tolist() if stimulus not in row]
        if missing:
            raise VentralError(f"an RDM lacks {len(missing)} of the stimuli asked for, e.g. '{missing[0]}'")
        rows = np.array([row[stimulus] for stimulus in stimulus_id.tolist()], dtype=np.intp)
        values = self.square()[np.ix_(rows, rows)][np.triu_indices(len(rows), k=1)]
        return Rdm(values, stimulus_id, self.measure)


def rdm(responses: xr.DataArray, measure: Measure = "correlation", *, noise: Noise = "identity") -> Rdm:
    """The dissimilarities of the responses to each pair of stimuli.

    Args:
        responses: [presentation, neuroid] with `stimulus_id`, without NaN. Several presentations of a stimulus are
            averaged; for crossnobis they are what it is cross-validated over, and `repetition` says which is which.
        measure: "correlation": 1 - Pearson's r over neuroids (NaN where a pattern has no variance). "euclidean":
            squared Euclidean distance over the number of neuroids, as rsatoolbox has it. "crossnobis": the
            cross-validated squared distance over the number of neuroids, unbiased, so that it can be negative; it
            needs every stimulus in every repetition.
        noise: For crossnobis, what the patterns are whitened by: nothing, or the covariance of the neuroids' noise
            over repetitions, shrunk towards its diagonal.

    Returns:
        The RDM, stimuli sorted.
    """
    if measure not in ("correlation", "euclidean", "crossnobis"):
        raise unknown("RDM measure", measure, ["correlation", "euclidean", "crossnobis"])
    if noise not in ("identity", "shrinkage"):
        raise unknown("noise", noise, ["identity", "shrinkage"])
    if set(responses.dims) != {"presentation", "neuroid"}:
        raise VentralError(f"an RDM takes responses [presentation, neuroid]; got {list(responses.dims)}")
    x = responses.transpose("presentation", "neuroid").values.astype(np.float64)
    if not np.isfinite(x).all():
        raise VentralError(f"{int((~np.isfinite(x)).any(0).sum())} neuroids have NaN responses; an RDM takes none")
    ids, index = np.unique(coordinate(responses, "stimulus_id"), return_inverse=True)
    if len(ids) < 2:
        raise VentralError(f"an RDM needs at least 2 stimuli; got {len(ids)}")
    descriptors = {"stimulus": index.astype(np.float64)}  # floats, because rsatoolbox puts NaN into its descriptors
    if measure == "crossnobis":
        descriptors["fold"] = _folds(responses, ids, index)
    data = _rsatoolbox("data").Dataset(x, obs_descriptors=descriptors)
    calc_rdm = _rsatoolbox("rdm").calc_rdm
    if measure == "crossnobis":
        precision = _rsatoolbox("data.noise").prec_from_measurements(data, "stimulus") if noise == "shrinkage" else None
        found = calc_rdm(data, method=measure, descriptor="stimulus", cv_descriptor="fold", noise=precision)
        return Rdm(found.dissimilarities[0], ids, measure)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = calc_rdm(data, method=measure, descriptor="stimulus").dissimilarities[0]
    # Equal patterns are at distance 0: what is left of rounding would be ranked.
    size = 1.0 if measure == "correlation" else float((x**2).sum(1).max() / x.shape[1])
    values = np.where(np.abs(values) < 1e-12 * size, 0.0, values)
    if measure == "correlation":
        patterns = np.stack([x[index == i].mean(0) for i in range(len(ids))])
        flat = np.ptp(patterns, axis=1) <= 1e-12 * np.abs(patterns).max(1)
        first, second = np.triu_indices(len(ids), k=1)
        values = np.where(flat[first] | flat[second], np.nan, values)
    return Rdm(values, ids, measure)


def compare(one: Rdm, other: Rdm, comparison: Comparison = "spearman") -> float:
    """How alike two RDMs of the same stimuli are, over the upper triangles.

    Args:
        one: An RDM.
        other: An RDM of the same stimuli, in any order.
        comparison: "spearman" (ties get their mean rank), "pearson" or "cosine".

    Returns:
        The similarity, over the pairs that both define; NaN with fewer than two, or where one of the RDMs is the same
        for all pairs (for "cosine": zero).
    """
    return _similarity(one.values, _same_stimuli(one, other).values, comparison)


def noise_ceiling(rdms: Sequence[Rdm], comparison: Comparison = "spearman") -> tuple[float, float]:
    """The range in which the best possible model's similarity with these subjects lies (Nili et al. 2014).

    Args:
        rdms: One RDM a subject, of the same stimuli.
        comparison: As in `compare`.

    Returns:
        Lower bound: the mean similarity of each subject with the mean of the others; upper bound: with the mean of all.
        RDMs are pooled as the comparison asks (as ranks for "spearman").
    """
    if len(rdms) < 2:
        raise VentralError(f"a noise ceiling needs at least 2 subjects; got {len(rdms)}")
    lower, upper = _rsatoolbox("inference").boot_noise_ceiling(rsatoolbox_rdms(rdms), method=_method(comparison))
    return float(lower), float(upper)


def rsa(
    responses: xr.DataArray | Rdm,
    recordings: xr.DataArray | Rdm,
    *,
    measure: Measure = "correlation",
    comparison: Comparison = "spearman",
    bootstraps: int = 0,
    seed: int = 0,
) -> Score:
    """The similarity of two representations of the same stimuli: that of their RDMs.

    Args:
        responses: [presentation, neuroid], e.g. of a model, or its RDM.
        recordings: The same of what it is compared with.
        measure: Of RDMs that are made here.
        comparison: As in `compare`.
        bootstraps: How many resamplings of the stimuli the 95 % interval is made from; pairs of a stimulus with
            itself are left out. 0: no interval.
        seed: Of the resampling.
    """
    one, other = (x if isinstance(x, Rdm) else rdm(x, measure) for x in (responses, recordings))
    other = _same_stimuli(one, other)
    value = compare(one, other, comparison)
    interval = None
    if bootstraps and np.isfinite(value):
        random = np.random.default_rng(seed)
        resampled = [_resampled(one, other, comparison, random) for _ in range(bootstraps)]
        interval = np.nanpercentile(resampled, [2.5, 97.5])
    undefined = int((~(np.isfinite(one.values) & np.isfinite(other.values))).sum())
    return Score(
        value=value,
        raw=value,
        formula=f"{comparison} of RDMs ({one.measure}, {other.measure})",
        n={"stimuli": len(one.stimulus_id), "pairs": len(one.values), "pairs_undefined": undefined},
        seed=seed if bootstraps else None,
        interval=interval,
        reason="" if np.isfinite(value) else "an RDM is undefined or the same for all pairs of stimuli",
    )


def rsa_over_time(
    responses: xr.DataArray,
    recordings: xr.DataArray | Rdm,
    *,
    measure: Measure = "correlation",
    comparison: Comparison = "spearman",
    bootstraps: int = 0,
    seed: int = 0,
) -> Score:
    """The similarity at each moment of a representation with a fixed one, e.g. of a model's steps with monkey IT.

    Args:
        responses: [presentation, neuroid, time_bin].
        recordings: [presentation, neuroid], an RDM, or [presentation, neuroid, time_bin] with the same time bins, to
            be compared bin by bin.
        measure: As in `rsa`.
        comparison: As there.
        bootstraps: As there.
        seed: As there; the same stimuli are drawn in every bin.

    Returns:
        value, raw and interval are over `time_bin`. Bins before the stimulus arrives, in which all stimuli are alike,
        are NaN and counted.
    """
    if "time_bin" not in responses.dims:
        raise VentralError(f"RSA over time takes responses with time bins; got {list(responses.dims)}")
    bins = responses.sizes["time_bin"]
    options: dict[str, Any] = {"comparison": comparison, "bootstraps": bootstraps, "seed": seed}
    fixed: list[Rdm]
    if isinstance(recordings, xr.DataArray) and "time_bin" in recordings.dims:
        if recordings.sizes["time_bin"] != bins:
            raise VentralError(
                f"{bins} time bins of one, {recordings.sizes['time_bin']} of the other; align them first"
            )
        fixed = [rdm(recordings.isel(time_bin=b), measure) for b in range(bins)]
    else:
        fixed = [recordings if isinstance(recordings, Rdm) else rdm(recordings, measure)] * bins
    scores = [rsa(rdm(responses.isel(time_bin=b), measure), fixed[b], **options) for b in range(bins)]
    coords = {str(n): ("time_bin", c.values) for n, c in responses.coords.items() if c.dims == ("time_bin",)}
    values = xr.DataArray([float(s) for s in scores], dims="time_bin", coords=coords)
    interval = None
    if bootstraps:
        bounds = np.array([[np.nan, np.nan] if s.interval is None else s.interval for s in scores]).T
        interval = xr.DataArray(bounds, dims=("bound", "time_bin"), coords=coords)
    undefined = sum(not np.isfinite(float(s)) for s in scores)
    why = next((s.reason for s in scores if s.reason), "")
    return Score(
        value=values,
        raw=values,
        formula=scores[0].formula,
        n={**scores[0].n, "time_bins": bins, "time_bins_undefined": undefined},
        seed=scores[0].seed,
        interval=interval,
        reason=f"{undefined} of {bins} time bins: {why}" if undefined else "",
    )


def linear_cka(one: xr.DataArray, other: xr.DataArray, *, debiased: bool = True) -> float:
    """Linear centred kernel alignment of two representations of the same stimuli (Kornblith et al. 2019).

    Args:
        one: [presentation, neuroid] with `stimulus_id`, each once.
        other: The same stimuli, in any order.
        debiased: With the unbiased estimator of HSIC (Song et al. 2007), which is near 0 for unrelated representations
            however many neuroids they have, and can be negative; Brain-Score's default. False: as first published.

    Returns:
        The alignment; 1 for representations equal up to rotation and scale. NaN where one of them does not vary (or,
        debiased, where its own estimate is not positive; Brain-Score says 0 there).
    """
    ids, index = np.unique(coordinate(one, "stimulus_id"), return_index=True)
    other_ids, other_index = np.unique(coordinate(other, "stimulus_id"), return_index=True)
    sizes = one.sizes["presentation"], other.sizes["presentation"]
    if sizes != (len(ids), len(other_ids)) or not np.array_equal(ids, other_ids):
        raise VentralError(f"CKA needs the same stimuli once in both; got {sizes[0]} and {sizes[1]} presentations")
    n = len(ids)
    if debiased and n < 4:
        raise VentralError(f"debiased CKA needs at least 4 stimuli; got {n}")
    x, y = (a.transpose("presentation", "neuroid").values.astype(np.float64) for a in (one, other))
    x, y = x[index] - x.mean(0), y[other_index] - y.mean(0)
    if not debiased and max(x.shape[1], y.shape[1]) <= n:
        hsic = [float(((a.T @ b) ** 2).sum()) for a, b in ((x, y), (x, x), (y, y))]
    else:
        k, m = x @ x.T, y @ y.T
        if debiased:
            k, m = _u_centred(k), _u_centred(m)
        hsic = [float((a * b).sum()) for a, b in ((k, m), (k, k), (m, m))]
    return hsic[0] / float(np.sqrt(hsic[1] * hsic[2])) if hsic[1] * hsic[2] > 0 else float("nan")


def rsatoolbox_rdms(rdms: Sequence[Rdm]) -> Any:
    """RDMs of the same stimuli as one object of rsatoolbox, e.g. for its inference."""
    aligned = [_same_stimuli(rdms[0], each) for each in rdms]
    return _rsatoolbox("rdm").RDMs(
        np.stack([each.values for each in aligned]),
        dissimilarity_measure=rdms[0].measure,
        pattern_descriptors={"stimulus_id": rdms[0].stimulus_id.tolist()},
    )


def _rsatoolbox(module: str) -> Any:
    """A module of rsatoolbox, imported where it is used, because that takes seconds."""
    return importlib.import_module(f"rsatoolbox.{module}")


def _u_centred(gram: Floats) -> Floats:
    """U-centring (Szekely & Rizzo 2014): inner products of what it returns are unbiased estimates of HSIC."""
    n = len(gram)
    gram = gram - np.diag(np.diag(gram))
    rows = gram.sum(0) / (n - 2)
    centred: Floats = gram - rows[:, None] - rows[None] + gram.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    return centred


def _folds(responses: xr.DataArray, ids: NDArray[Any], index: NDArray[np.intp]) -> Floats:
    """The repetition of each presentation; each stimulus must be in each repetition."""
    names, fold = np.unique(coordinate(responses, "repetition"), return_inverse=True)
    there = np.zeros((len(ids), len(names)), dtype=bool)
    there[index, fold] = True
    if len(names) < 2:
        raise VentralError(f"crossnobis is cross-validated over repetitions and needs at least 2; got {len(names)}")
    if not there.all():
        lacking = ids[~there.all(1)]
        raise VentralError(
            f"crossnobis needs every stimulus in every repetition; {len(lacking)} lack some, e.g. '{lacking[0]}'"
        )
    return fold.astype(np.float64)


def _same_stimuli(one: Rdm, other: Rdm) -> Rdm:
    """`other`, in the order of `one`."""
    if len(one.stimulus_id) != len(other.stimulus_id):
        sizes = len(one.stimulus_id), len(other.stimulus_id)
        raise VentralError(f"RDMs are compared over the same stimuli; got {sizes[0]} and {sizes[1]}")
    return other if np.array_equal(one.stimulus_id, other.stimulus_id) else other.select(one.stimulus_id)


def _method(comparison: Comparison) -> str:
    if comparison not in _COMPARISONS:
        raise unknown("comparison", comparison, _COMPARISONS)
    return _COMPARISONS[comparison]


def _similarity(a: Floats, b: Floats, comparison: Comparison) -> float:
    method = _method(comparison)
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < 2 or not (a.any() and b.any()) or (comparison != "cosine" and not (np.ptp(a) and np.ptp(b))):
        return float("nan")
    return float(_rsatoolbox("rdm").compare(a[None], b[None], method=method)[0, 0])


def _resampled(one: Rdm, other: Rdm, comparison: Comparison, random: np.random.Generator) -> float:
    """The similarity over stimuli drawn with replacement, without the pairs of a stimulus and itself."""
    n = len(one.stimulus_id)
    rows = random.integers(0, n, n)
    first, second = np.triu_indices(n, k=1)
    a, b = rows[first], rows[second]
    a, b = a[a != b], b[a != b]
    return _similarity(one.square()[a, b], other.square()[a, b], comparison)
