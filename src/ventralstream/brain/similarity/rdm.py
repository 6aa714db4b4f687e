"""Dissimilarity matrices (RDMs) of representations, and how alike two of them are.

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

from ventralstream.arrays import as_floats, as_keys, as_names
from ventralstream.assembly import groups_of, in_order, names_of
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
        names = as_names(self.stimulus_id, "stimuli have no name")
        object.__setattr__(self, "stimulus_id", names)
        if len(np.unique(as_keys(names))) < n:
            raise VentralError("an RDM has each stimulus once; some stimulus_id is there more than once")

    @classmethod
    def from_square(cls, square: ArrayLike, stimulus_id: ArrayLike, measure: str) -> Rdm:
        """An RDM from its whole matrix, [n, n], symmetric."""
        matrix, ids = (
            as_floats(square, "dissimilarities").astype(np.float64),
            as_names(stimulus_id, "stimuli have no name"),
        )
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
        row = {stimulus: i for i, stimulus in enumerate(as_keys(self.stimulus_id).tolist())}
        stimulus_id = as_names(stimulus_id, "stimuli have no name")
        wanted = as_keys(stimulus_id).tolist()
        missing = [stimulus for stimulus in wanted if stimulus not in row]
        if missing:
            raise VentralError(f"an RDM lacks {len(missing)} of the stimuli asked for, e.g. '{missing[0]}'")
        rows = np.array([row[stimulus] for stimulus in wanted], dtype=np.intp)
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
    responses = in_order(responses, "presentation", "neuroid", what="an RDM")
    x = as_floats(responses.values, "responses").astype(np.float64)
    if not np.isfinite(x).all():
        raise VentralError(f"{int((~np.isfinite(x)).any(0).sum())} neuroids have NaN responses; an RDM takes none")
    ids, index = np.unique(names_of(responses, "stimulus_id"), return_inverse=True)
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
    return similarity(one.values, same_stimuli(one, other).values, comparison)


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


def rsatoolbox_rdms(rdms: Sequence[Rdm]) -> Any:
    """RDMs of the same stimuli as one object of rsatoolbox, e.g. for its inference."""
    aligned = [same_stimuli(rdms[0], each) for each in rdms]
    return _rsatoolbox("rdm").RDMs(
        np.stack([each.values for each in aligned]),
        dissimilarity_measure=rdms[0].measure,
        pattern_descriptors={"stimulus_id": rdms[0].stimulus_id.tolist()},
    )


def _rsatoolbox(module: str) -> Any:
    """A module of rsatoolbox, imported where it is used, because that takes seconds."""
    return importlib.import_module(f"rsatoolbox.{module}")


def _folds(responses: xr.DataArray, ids: NDArray[Any], index: NDArray[np.intp]) -> Floats:
    """The repetition of each presentation; each stimulus must be in each repetition."""
    names, fold = groups_of(responses, "repetition")
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


def same_stimuli(one: Rdm, other: Rdm) -> Rdm:
    """`other`, in the order of `one`."""
    if len(one.stimulus_id) != len(other.stimulus_id):
        sizes = len(one.stimulus_id), len(other.stimulus_id)
        raise VentralError(f"RDMs are compared over the same stimuli; got {sizes[0]} and {sizes[1]}")
    return (
        other if np.array_equal(as_keys(one.stimulus_id), as_keys(other.stimulus_id)) else other.select(one.stimulus_id)
    )


def _method(comparison: Comparison) -> str:
    if comparison not in _COMPARISONS:
        raise unknown("comparison", comparison, _COMPARISONS)
    return _COMPARISONS[comparison]


def similarity(a: Floats, b: Floats, comparison: Comparison) -> float:
    """How alike two rows of dissimilarities are, where both are defined; see `compare`."""
    method = _method(comparison)
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < 2 or not (a.any() and b.any()) or (comparison != "cosine" and not (np.ptp(a) and np.ptp(b))):
        return float("nan")
    return float(_rsatoolbox("rdm").compare(a[None], b[None], method=method)[0, 0])
