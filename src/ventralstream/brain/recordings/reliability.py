"""How reliable recordings are: split-half internal consistency, and the corrections of a score for their noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from xarray import DataArray

from ventralstream.arguments import draws
from ventralstream.assembly import check, check_finite, groups_of, names_of, time_bins_of
from ventralstream.brain.correlation import Floats, mean_and_error, mean_of_defined, median, pearson
from ventralstream.brain.score import Score
from ventralstream.brain.splits import halves
from ventralstream.errors import VentralError, unknown

MIN_RELIABILITY = 0.1
"""A reliability below this supports no correction (our choice): the quotient would be mostly noise."""


Halves = tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]


@dataclass(frozen=True)
class Correction:
    """A way to correct a score r (Pearson's, of predictions with mean responses) for the noise of the recordings.

    `c` is the internal consistency: split-half r with Spearman-Brown, a reliability, i.e. a fraction of variance. A
    model whose prediction is the neuroid's own mean without noise reaches r = sqrt(c), and a corrected score of
    `perfect(c)`: not every published form makes that 1.

    Attributes:
        name: Its name.
        formula: The formula in words and symbols.
        source: Where it comes from.
        apply: Corrected score of (r, c); None for the forms that need maps fitted on halves of the repetitions.
        perfect: The corrected score of a perfect model, of c.
    """

    name: str
    formula: str
    source: str
    apply: Callable[[Any, Any], Any] | None
    perfect: Callable[[Any], Any]


CORRECTIONS = {
    c.name: c
    for c in (
        Correction(
            "raw",
            "r",
            "docs/papers.md B.3: the scores of Kubilius, Schrimpf et al. 2019",
            lambda r, c: r,
            lambda c: c**0.5,
        ),
        Correction(
            "r_over_ceiling",
            "r / c",
            "docs/papers.md B.4: Brain-Score 2018/19; c and not its root, so it overcorrects",
            lambda r, c: r / c,
            lambda c: c**-0.5,
        ),
        Correction(
            "r_over_ceiling_squared",
            "(r / c)^2 with the sign of r",
            "docs/papers.md B.4: explained variance, Brain-Score 2018/19; overcorrects too; the sign is our choice",
            lambda r, c: np.sign(r) * (r / c) ** 2,
            lambda c: 1 / c,
        ),
        Correction(
            "r2_over_ceiling",
            "r^2 / c with the sign of r",
            "docs/papers.md B.4: Brain-Score today; the sign is our choice: a model that predicts the opposite is none",
            lambda r, c: np.sign(r) * r**2 / c,
            lambda c: 1.0 + 0 * c,
        ),
        Correction(
            "half_to_half",
            "corr(M(s1), s2) / sqrt(SB(corr(M(s1), M(s2))) SB(corr(s1, s2)))",
            "docs/papers.md A.8, first form: numerator of halves, denominator of all repetitions: undercorrects",
            None,
            lambda c: (2 - c) ** -0.5,
        ),
        Correction(
            "full_to_full",
            "corr(M(all), all) / sqrt(SB(corr(M(s1), M(s2))) SB(corr(s1, s2)))",
            "docs/papers.md A.8, second form",
            None,
            lambda c: 1.0 + 0 * c,
        ),
    )
}
"""The corrections for noise, by the names that scores take: what is done to r, and where it is from."""
"""The corrections by name. SB(r) = 2r / (1 + r); M(s) is the test prediction of a map fitted on repetitions s."""


def correction_named(name: str) -> Correction:
    """The correction of that name.

    Raises:
        VentralError: for an unknown name (naming the nearest one).
    """
    if name not in CORRECTIONS:
        raise unknown("correction", name, CORRECTIONS)
    return CORRECTIONS[name]


def spearman_brown(r: Any, factor: float = 2.0) -> Floats:
    """Reliability of the mean of `factor` times as many repetitions; NaN, never infinite, where r allows none."""
    r = np.asarray(r, dtype=np.float64)
    bottom = 1 + (factor - 1) * r
    return np.asarray(np.where(bottom > 1e-9, factor * r / np.where(bottom > 1e-9, bottom, 1), np.nan))


@dataclass(frozen=True)
class Trials:
    """The presentations of an assembly, ready to average any selection of its repetitions.

    Attributes:
        recordings: The assembly.
        stimuli: Number of stimuli, in the order they first come.
        stimulus: The stimulus of each presentation, as an index.
        repetition: The repetition of each presentation, as an index.
        repetitions: Number of repetitions.
    """

    recordings: DataArray
    stimuli: int
    stimulus: NDArray[np.int64]
    repetition: NDArray[np.int64]
    repetitions: int

    @classmethod
    def of(cls, recordings: DataArray) -> Trials:
        """Reads stimuli and repetitions off an assembly; without a `repetition` coordinate they count in order."""
        recordings = check(recordings)
        check_finite(recordings.values)
        _, first, code = np.unique(names_of(recordings, "stimulus_id"), return_index=True, return_inverse=True)
        stimulus = np.argsort(np.argsort(first))[code]
        if "repetition" in recordings.coords:
            repetition = groups_of(recordings, "repetition")[1]
        else:
            order = np.argsort(stimulus, kind="stable")
            starts = np.concatenate([[0], np.cumsum(np.bincount(stimulus))[:-1]])
            repetition = np.empty(len(stimulus), dtype=np.int64)
            repetition[order] = np.arange(len(stimulus)) - starts[stimulus[order]]
        return cls(recordings, len(first), stimulus, repetition, int(repetition.max()) + 1)

    def mean(self, repetitions: NDArray[np.int64], time_bin: int | slice = slice(None)) -> Floats:
        """Mean response [stimuli, neuroids(, time bins)] over some repetitions; missing ones are left out.

        NaN where a stimulus has no response in these repetitions.
        """
        rows = np.flatnonzero(np.isin(self.repetition, repetitions))
        index = (self.stimulus[rows], np.arange(len(rows)))
        sums = csr_array((np.ones(len(rows)), index), shape=(self.stimuli, len(rows)))
        values = self.recordings.values
        values = values[rows][..., time_bin] if values.ndim == 3 else values[rows]
        flat = values.reshape(len(rows), -1)
        there = ~np.isnan(flat)
        if there.all():
            total, n = sums @ flat, np.bincount(index[0], minlength=self.stimuli)[:, None]
        else:
            total, n = sums @ np.where(there, flat, 0), sums @ there.astype(np.float64)
        mean = np.where(n > 0, total / np.maximum(n, 1), np.nan)
        return np.asarray(mean.reshape(self.stimuli, *values.shape[1:]))

    def halves(self, halvings: int, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Random halves of the repetitions, as Brain-Score's internal consistency makes them."""
        yield from halves(self.repetitions, halvings, seed)


def internal_consistency(recordings: DataArray, halvings: int = 10, seed: int = 1) -> Score:
    """Split-half reliability of recordings, per neuroid and time bin, corrected to all repetitions by Spearman-Brown.

    For each halving, repetitions fall at random into two halves, the same for all stimuli; the halves' mean responses
    are correlated over stimuli, r, and 2r / (1 + r) is the reliability of the mean over all repetitions. Median over
    neuroids, mean over halvings (docs/papers.md B.4; equal to Brain-Score's). A stimulus that a half lacks is left out.

    Args:
        recordings: An assembly with repetitions: presentations that share a `stimulus_id`, told apart by `repetition`
            where that coordinate is there.
        halvings: How many random halvings.
        seed: Their random state.

    Returns:
        `value` (a number, or [time_bin]), with the parts per halving (dimension `split`) and per neuroid; NaN with the
        reason if there is one repetition only.
    """
    trials = Trials.of(recordings)
    r = consistency_over_halvings(trials, halvings, seed)
    reason = ""
    if trials.repetitions < 2:
        reason = "one repetition only: no reliability can be had from it"
    elif np.isnan(r).all():
        reason = "no neuroid has varying responses in both halves of the repetitions"
    per_split = median(r, 1)
    value, error = mean_and_error(per_split)
    return Score(
        value=over_bins(value, recordings),
        raw=over_bins(value, recordings),
        formula="spearman_brown",
        rule="2 r / (1 + r)",
        n={
            "stimuli": trials.stimuli,
            "neuroids": recordings.sizes["neuroid"],
            "neuroids_undefined": int(np.isnan(r).all((0, 2)).sum()),
            "repetitions": trials.repetitions,
            "halvings": halvings,
        },
        seed=seed,
        error=over_bins(error, recordings),
        per_split=over_bins(per_split, recordings, "split"),
        per_neuroid=over_bins(mean_of_defined(r), recordings, "neuroid"),
        reason=reason,
    )


def consistency_over_halvings(trials: Trials, halvings: int, seed: int) -> Floats:
    """The reliability of each halving, neuroid and time bin (1 if there are none): [halvings, neuroids, bins].

    NaN with one repetition only, and for neuroids that do not vary.
    """
    recordings, halvings = trials.recordings, draws("halvings", halvings, 1)
    shape = (recordings.sizes["neuroid"], recordings.sizes.get("time_bin", 1))
    if trials.repetitions < 2:
        return np.full((halvings, *shape), np.nan)
    pairs = trials.halves(halvings, seed)
    return np.stack([spearman_brown(pearson(trials.mean(a), trials.mean(b))).reshape(shape) for a, b in pairs])


def over_bins(values: Floats, recordings: DataArray, first: str | None = None) -> DataArray:
    """Values [first, bins] with the recordings' coordinates, without the bins if the recordings have none."""
    in_time = "time_bin" in recordings.dims
    dims = [d for d in (first, "time_bin" if in_time else None) if d is not None]
    coords = {
        n: c.variable
        for n, c in recordings.coords.items()
        if c.dims and set(c.dims) <= set(dims) and (n not in dims or c.dims == (n,))
    }
    return DataArray(values if in_time else values[..., 0], dims=dims, coords=coords)


def unsupported(reliability: Floats, recordings: DataArray, minimum: float) -> tuple[NDArray[np.bool_], str]:
    """Bins whose reliability [bins] supports no correction, and the sentence that says so (empty if there are none)."""
    bad = ~(reliability >= minimum)
    if not bad.any():
        return bad, ""
    low = reliability[bad & ~np.isnan(reliability)]
    span = (
        "undefined" if not len(low) else f"{low.min():.3g}" if len(low) == 1 else f"{low.min():.3g} to {low.max():.3g}"
    )
    where = ""
    if "time_bin" in recordings.dims:
        start, end = time_bins_of(recordings)[int(np.flatnonzero(bad)[0])]
        where = f" in {bad.sum()} of {len(bad)} time bins (first {start:g} to {end:g} ms)"
    return bad, f"the recordings' reliability is {span}{where}; a correction needs at least {minimum:g}"


def check_minimum(minimum: float) -> None:
    """Refuses a least reliability that would let a correction divide by zero."""
    if not 0 < minimum <= 1:
        raise VentralError(f"min_reliability is {minimum}; expected a number above 0 and up to 1")
