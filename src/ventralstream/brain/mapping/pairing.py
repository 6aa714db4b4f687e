"""Features and recordings of the same stimuli, row by row and time bin by time bin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import DataArray

from ventralstream.assembly import check, names_of, span_of, time_bins_of
from ventralstream.brain.recordings.presentations import Exclusions, align, mean_repetitions, usable_rows
from ventralstream.brain.splits import Scheme, TrainTest, train_test_splits
from ventralstream.errors import VentralError


@dataclass(frozen=True)
class Paired:
    """Features and recordings that fit each other.

    Attributes:
        features: [stimulus, feature], or [stimulus, feature, time bin] with the recordings' time bins.
        mean: The recordings averaged over repetitions, an assembly of the usable neuroids.
        recordings: The recordings of the same neuroids with all their repetitions.
        excluded: Which neuroids were left out.
    """

    features: NDArray[Any]
    mean: DataArray
    recordings: DataArray
    excluded: Exclusions

    @property
    def stimuli(self) -> int:
        """How many stimuli there are."""
        return self.mean.sizes["presentation"]

    @property
    def neuroids(self) -> int:
        """How many neuroids there are."""
        return self.mean.sizes["neuroid"]

    @property
    def bins(self) -> int:
        """How many time bins there are; 1 if the recordings are not resolved in time."""
        return self.mean.sizes.get("time_bin", 1)

    def counts(self) -> dict[str, int]:
        """What a score should say it counted."""
        counts = {"stimuli": self.stimuli, "features": self.features.shape[1], "neuroids": self.neuroids}
        if "time_bin" in self.mean.dims:
            counts["time_bins"] = self.bins
        excluded = {"missing": self.excluded.missing, "no_variance": self.excluded.no_variance}
        return counts | {f"neuroids_{why}": len(ids) for why, ids in excluded.items()}

    def splits(
        self, splits: int | Sequence[TrainTest], scheme: Scheme, train_size: float, stratify: str | None, seed: int
    ) -> tuple[TrainTest, ...]:
        """The splits of the stimuli: made as asked, or the given ones, checked.

        Raises:
            VentralError: if no such splits can be made, or given ones are not of these stimuli.
        """
        if not isinstance(splits, Sequence):
            strata = None if stratify is None else names_of(self.mean, stratify).tolist()
            made = train_test_splits(self.stimuli, splits, scheme, train_size, strata, seed)
        else:
            made = tuple((np.asarray(train), np.asarray(test)) for train, test in splits)
            if not made:
                raise VentralError("there are no splits; expected pairs of train and test indices")
        for train, test in made:
            both = np.concatenate([train, test])
            if len(both) and both.dtype.kind not in "iu":
                raise VentralError(f"a split is of whole numbers, the indices of stimuli; got {both.dtype}")
            if len(test) < 2 or not len(train):
                raise VentralError(
                    f"a split has {len(train)} train and {len(test)} test stimuli; at least 2 are tested"
                )
            if both.min() < 0 or both.max() >= self.stimuli or len(np.unique(both)) < len(both):
                raise VentralError(f"a split's indices must be different ones of the {self.stimuli} stimuli")
        return made


def pair(features: DataArray, recordings: DataArray) -> Paired:
    """Brings features and recordings together; see `predictivity` for what they may be.

    Raises:
        VentralError: for stimuli without features, time bins that the features lack, or no usable neuroid.
    """
    recordings = check(recordings)
    mean = mean_repetitions(recordings)
    kept, excluded = usable_rows(mean)
    if len(kept) < mean.sizes["neuroid"]:
        mean, recordings = mean.isel(neuroid=kept), recordings.isel(neuroid=kept)
    return Paired(_at_bins(align(features, mean), mean), mean, recordings, excluded)


def _at_bins(features: DataArray, recordings: DataArray) -> NDArray[Any]:
    """The features' values at the recordings' time bins."""
    if "time_bin" not in features.dims:
        return np.asarray(features.values)
    if "time_bin" not in recordings.dims:
        if features.sizes["time_bin"] == 1:
            return np.asarray(features.values[..., 0])
        raise VentralError(
            f"the features have {features.sizes['time_bin']} time bins but the recordings are not resolved in time;"
            " average the features over time first, or pick one bin"
        )
    have, want = (np.round(time_bins_of(a), 6).tolist() for a in (features, recordings))
    index = {tuple(b): i for i, b in enumerate(have)}
    if len(index) < len(have):
        twice = next(b for i, b in enumerate(have) if index[tuple(b)] != i)
        raise VentralError(f"the features have the time bin {twice[0]:g} to {twice[1]:g} ms more than once")
    absent = [b for b in want if tuple(b) not in index]
    if absent:
        raise VentralError(
            f"the features have no time bin {absent[0][0]:g} to {absent[0][1]:g} ms ({len(absent)} of the {len(want)}"
            f" recorded bins are absent); theirs are {span_of(have)}"
        )
    return np.asarray(features.values[..., [index[tuple(b)] for b in want]])
