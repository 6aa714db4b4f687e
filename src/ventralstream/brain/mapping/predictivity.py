"""Neural predictivity: how well a linear map of a model's features predicts each neuroid on held-out stimuli."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from xarray import DataArray

from ventralstream.arguments import draws, whole
from ventralstream.brain.correlation import Floats, mean_and_error, mean_of_defined, median, pearson
from ventralstream.brain.mapping.design import Design
from ventralstream.brain.mapping.linear import Mapping, as_targets, held_out
from ventralstream.brain.mapping.pairing import Paired, pair
from ventralstream.brain.mapping.pls import PLS
from ventralstream.brain.mapping.ridge import Ridge, RidgeCV
from ventralstream.brain.recordings.reliability import (
    MIN_RELIABILITY,
    Correction,
    Halves,
    Trials,
    check_minimum,
    consistency_over_halvings,
    correction_named,
    over_bins,
    spearman_brown,
    unsupported,
)
from ventralstream.brain.score import Score
from ventralstream.brain.splits import Scheme, TrainTest
from ventralstream.errors import VentralError, unknown

OverTime = Literal["per_bin", "shared"]
MAPPINGS: dict[str, Mapping] = {"pls": PLS(), "ridge": Ridge(), "ridge_cv": RidgeCV()}
"""The linear maps that `predictivity` takes by name, with their default options."""


def predictivity(
    features: DataArray,
    recordings: DataArray,
    mapping: str | Mapping = "pls",
    over_time: OverTime = "per_bin",
    correction: str = "r2_over_ceiling",
    *,
    splits: int | Sequence[TrainTest] = 10,
    scheme: Scheme = "shuffle",
    train_size: float = 0.9,
    stratify: str | None = None,
    seed: int = 1,
    halvings: int = 10,
    ceiling: float | None = None,
    min_reliability: float = MIN_RELIABILITY,
    resamples: int = 1000,
    device: str | torch.device | None = None,
) -> Score:
    """Scores how well linear maps of a model's features predict recordings of the same stimuli.

    A map is fitted on the training stimuli's mean responses; on the test stimuli, predictions are correlated with mean
    responses (Pearson's r) per neuroid and time bin; median over neuroids; mean over splits (docs/papers.md B.4). With
    the defaults and `stratify="object_name"`, `raw` is Brain-Score's PLS predictivity of the same arrays. One thing
    differs, by our choice: a prediction that does not vary (of a model that has gone silent) scores 0, not NaN.

    Args:
        features: The model's features: [presentation, neuroid], the same for all times, or [presentation, neuroid,
            time_bin] with every time bin of the recordings (same start and end). One presentation for each recorded
            stimulus, found by `stimulus_id`; others are not used.
        recordings: The recordings, repetitions and all; they are averaged here. Neuroids that lack a response to some
            stimulus, or do not vary, are left out and counted in `n`.
        mapping: "pls", "ridge" or "ridge_cv", or one with options of its own, e.g. `PLS(components=10)`.
        over_time: "per_bin" fits a map for each time bin; "shared" fits one map on all pairs of stimulus and time bin,
            so that dynamics must come from the model (Nayebi et al. 2018, docs/papers.md A.8).
        correction: How to correct for the recordings' noise: a name of `CORRECTIONS`. "half_to_half" and
            "full_to_full" (docs/papers.md A.8) fit 1 + 2 `halvings` maps where the others fit one, need time and memory
            in proportion, and are undefined for neuroids whose maps' predictions are not reliable.
        splits: How many splits, or the splits themselves: pairs of (train, test) indices of the stimuli in the order
            in which they first come in the recordings.
        scheme: "shuffle" or "k_fold", see `train_test_splits`.
        train_size: Fraction of the stimuli to train on.
        stratify: The presentation coordinate whose proportions each split keeps, e.g. "object_name"; None: none.
        seed: Random state of splits, halves and bootstrap.
        halvings: How many random halvings of the repetitions, for the ceiling and for docs/papers.md A.8's forms.
        ceiling: A ceiling to use instead of the recordings' own internal consistency, e.g. where the repetitions are
            not at hand; not for docs/papers.md A.8's forms.
        min_reliability: Below this reliability there is no correction but NaN with the reason (0.1 is our choice).
        resamples: Bootstrap samples, of neuroids and of splits, for the 95 % confidence interval; 0 for none.
        device: Where to compute; None: a GPU if there is one, else the CPU.

    Returns:
        The score. `value`, `raw`, `ceiling`, `error` (s.e.m. over splits) and `interval` are per time bin, numbers if
        the recordings have none. `per_neuroid` is corrected by each neuroid's own reliability, NaN where that is too
        small.

    Raises:
        VentralError: for stimuli without features, a time bin that the features lack, features that are not finite, no
            usable neuroid, splits that cannot be made, or an unknown name.
    """
    form, fit = correction_named(correction), mapping_named(mapping)
    if over_time not in get_args(OverTime):
        raise unknown("over_time", over_time, get_args(OverTime))
    check_minimum(min_reliability)
    halvings, resamples = draws("halvings", halvings), draws("resamples", resamples, 0)
    seed = whole("seed", seed, 0)
    if ceiling is not None and form.apply is None:
        raise VentralError(f"the correction '{form.name}' takes reliabilities from the repetitions and uses no ceiling")
    data = pair(features, recordings)
    chosen = data.splits(splits, scheme, train_size, stratify, seed)
    trials = Trials.of(data.recordings)

    if ceiling is None:
        reliability = consistency_over_halvings(trials, halvings, seed)
    else:
        reliability = np.full((1, data.neuroids, data.bins), float(ceiling))
    bad, reason = unsupported(mean_of_defined(median(reliability, 1)), data.mean, min_reliability)
    if trials.repetitions < 2 and ceiling is None:
        reason = "one repetition only: no reliability can be had from it"
    halves: Halves = ()
    if form.apply is None and not bad.all():
        halves = tuple(trials.halves(halvings, seed))
        if any(np.isnan(trials.mean(half)).any() for pair_ in halves for half in pair_):
            halves, bad = (), np.ones_like(bad)
            reason = f"'{form.name}' needs a response to every stimulus in every half of the repetitions"

    raw = np.full((len(chosen), data.neuroids, data.bins), np.nan)
    by_halves = np.full_like(raw, np.nan)
    for i, bins, truth, prediction in _held_out(data, trials, fit, over_time, chosen, halves, device):
        raw[i][:, bins] = pearson(prediction[:, :, 0], truth[:, :, 0], constant=0.0).T
        if halves:
            by_halves[i][:, bins] = _corrected_by_halves(form.name, prediction, truth, min_reliability).T
    if halves and np.isnan(mean_of_defined(median(by_halves, 1))[~bad]).any():
        unreliable = f"predictions of maps fitted on halves have a reliability below {min_reliability:g}"
        reason = f"{reason}; {unreliable}" if reason else unreliable

    estimate = _Estimate(form, raw, by_halves, reliability, bad)
    per_split, value = estimate.per_split(), estimate.value()
    error = mean_and_error(per_split)[1]
    random = np.random.default_rng(seed)
    samples = [estimate.resampled(random).value() for _ in range(resamples)]
    n = data.counts() | {"repetitions": trials.repetitions, "splits": len(chosen)}
    if form.apply is None:
        n["halvings"] = halvings
    return Score(
        value=over_bins(value, data.mean),
        raw=over_bins(mean_of_defined(median(raw, 1)), data.mean),
        ceiling=over_bins(estimate.ceiling(), data.mean),
        formula=form.name,
        rule=form.formula,
        n=n,
        seed=seed,
        error=over_bins(np.where(np.isnan(value), np.nan, error), data.mean),
        interval=over_bins(_interval(np.stack(samples)), data.mean, "bound") if samples else None,
        per_split=over_bins(per_split, data.mean, "split"),
        per_neuroid=over_bins(estimate.per_neuroid(min_reliability), data.mean, "neuroid"),
        reason="" if form.name == "raw" else reason,
    )


def unscored(error: VentralError) -> Score:
    """The score of what could not be scored: NaN, and why."""
    return Score(value=np.nan, raw=np.nan, formula="none", reason=str(error))


def mapping_named(mapping: str | Mapping) -> Mapping:
    """The mapping of that name with its defaults, or the given one.

    Raises:
        VentralError: for an unknown name (naming the nearest one).
    """
    if isinstance(mapping, Mapping):
        return mapping
    if mapping not in MAPPINGS:
        raise unknown("mapping", mapping, MAPPINGS)
    return MAPPINGS[mapping]


@dataclass(frozen=True)
class _Estimate:
    """From correlations per split, neuroid and time bin to a score.

    Attributes:
        form: The correction.
        raw: r, [splits, neuroids, bins].
        by_halves: The corrected r of a form that is made from halves, likewise.
        reliability: [halvings, neuroids, bins].
        bad: Bins whose reliability supports no correction.
    """

    form: Correction
    raw: Floats
    by_halves: Floats
    reliability: Floats
    bad: NDArray[np.bool_]

    def resampled(self, random: np.random.Generator) -> _Estimate:
        """The same of neuroids and splits drawn with replacement."""
        splits, neuroids = (random.integers(0, n, n) for n in self.raw.shape[:2])
        raw, by_halves = (a[splits][:, neuroids] for a in (self.raw, self.by_halves))
        return _Estimate(self.form, raw, by_halves, self.reliability[:, neuroids], self.bad)

    def ceiling(self) -> Floats:
        return mean_of_defined(median(self.reliability, 1))

    def per_split(self) -> Floats:
        if self.form.apply is None:
            return self._supported(median(self.by_halves, 1))
        return self._apply(median(self.raw, 1), self.ceiling())

    def value(self) -> Floats:
        if self.form.apply is None:
            return mean_of_defined(self.per_split())
        return self._apply(mean_of_defined(median(self.raw, 1)), self.ceiling())

    def per_neuroid(self, min_reliability: float) -> Floats:
        if self.form.apply is None:
            return self._supported(mean_of_defined(self.by_halves))
        reliability = mean_of_defined(self.reliability)
        reliable = np.where(reliability >= min_reliability, reliability, np.nan)
        return self._apply(mean_of_defined(self.raw), reliable)

    def _apply(self, r: Floats, ceiling: Floats) -> Floats:
        assert self.form.apply is not None
        if self.form.name == "raw":
            return r
        positive = np.where(ceiling > 0, ceiling, np.nan)  # a sample of neuroids may have none
        return self._supported(np.asarray(self.form.apply(r, positive)))

    def _supported(self, values: Floats) -> Floats:
        return np.where(self.bad, np.nan, values)


def _interval(samples: Floats) -> Floats:
    """The middle 95 % of bootstrap samples [samples, bins]; NaN where a sample is."""
    return np.stack([np.quantile(samples, q, axis=0) for q in (0.025, 0.975)])


def _held_out(
    data: Paired,
    trials: Trials,
    mapping: Mapping,
    over_time: OverTime,
    splits: Sequence[TrainTest],
    halves: Halves,
    device: str | torch.device | None,
) -> Iterator[tuple[int, slice, Floats, Floats]]:
    """Yields (split, bins, truth, prediction), the last two of the test stimuli: [stimuli, bins, targets, neuroids].

    Target 0 is the mean over all repetitions, 1 + 2h and 2 + 2h are those over the halves of halving h. Features that
    are the same at all times, and a shared map, are done for all bins at once.
    """
    x, bins = data.features, data.bins
    step = 1 if x.ndim == 3 and over_time == "per_bin" else bins
    for block in (slice(t, t + step) for t in range(0, bins, step)):
        y = _targets(data, trials, halves, block)
        if over_time == "shared" and bins > 1:
            moments = np.broadcast_to(x[..., None], (*x.shape, bins)) if x.ndim == 2 else x
            design = Design(np.moveaxis(moments, 2, 1).reshape(-1, x.shape[1]), device)
            targets = as_targets(y.reshape(-1, *y.shape[2:]), design)
            rows = [tuple((s[:, None] * bins + np.arange(bins)).ravel() for s in split) for split in splits]
        else:
            design = Design(x if x.ndim == 2 else x[..., block.start], device)
            targets = as_targets(y.reshape(len(y), -1, y.shape[-1]), design)
            rows = [tuple(split) for split in splits]
        predictions = held_out(mapping, design, targets, rows)  # type: ignore[arg-type]
        for i, ((_, test), prediction) in enumerate(zip(splits, predictions, strict=True)):
            yield i, block, y[test], prediction.cpu().numpy().reshape(len(test), *y.shape[1:])


def _targets(data: Paired, trials: Trials, halves: Halves, bins: slice) -> Floats:
    """Targets [stimuli, bins, 1 + 2 halvings, neuroids]."""
    mean = np.asarray(data.mean.values, dtype=np.float64)
    everything = [mean[..., bins] if mean.ndim == 3 else mean[..., None]]
    for pair_ in halves:
        for half in pair_:
            part = trials.mean(half, bins)
            everything.append(part if part.ndim == 3 else part[..., None])
    return np.stack(everything, 1).transpose(0, 3, 1, 2)  # from [stimuli, targets, neuroids, bins]


def _corrected_by_halves(form: str, prediction: Floats, truth: Floats, min_reliability: float) -> Floats:
    """docs/papers.md A.8's forms, [bins, neuroids]: the mean over halvings of r over the root of both reliabilities."""
    quotients = []
    for h in range(1, prediction.shape[2], 2):
        predictions, truths = ((a[:, :, h], a[:, :, h + 1]) for a in (prediction, truth))
        if form == "half_to_half":
            r = pearson(predictions[0], truths[1], constant=0.0)
        else:
            r = pearson(prediction[:, :, 0], truth[:, :, 0], constant=0.0)
        of_map, of_neuroid = (spearman_brown(pearson(*pair_)) for pair_ in (predictions, truths))
        reliable = (of_map >= min_reliability) | (r == 0)  # a silent model scores 0
        supported = reliable & (of_neuroid >= min_reliability)
        bottom = np.sqrt(np.where(supported & (r != 0), of_map * of_neuroid, 1))
        quotients.append(np.where(supported, r / bottom, np.nan))
    return mean_of_defined(np.stack(quotients))
