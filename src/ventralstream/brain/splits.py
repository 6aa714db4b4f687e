"""Seeded train/test splits of stimuli: repeated shuffles and k folds, with or without strata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit

from ventralstream.arguments import draws, whole
from ventralstream.errors import VentralError, unknown
from ventralstream.values import Within, fit

Indices = np.ndarray[Any, np.dtype[np.int64]]
TrainTest = tuple[Indices, Indices]
Scheme = Literal["shuffle", "k_fold"]


def train_test_splits(
    stimuli: int,
    splits: int = 10,
    scheme: Scheme = "shuffle",
    train_size: float = 0.9,
    strata: Sequence[Any] | None = None,
    seed: int = 1,
) -> tuple[TrainTest, ...]:
    """Splits stimuli into train and test sets; the same arguments give the same splits, everywhere.

    The defaults are Brain-Score's (docs/papers.md B.4): 10 shuffles, 90 % train, random state 1. They come from
    scikit-learn's splitters, so that equal arguments give Brain-Score's own splits.

    Args:
        stimuli: How many stimuli there are.
        splits: How many shuffles, or folds.
        scheme: "shuffle" (independent random splits) or "k_fold" (every stimulus is tested once; `train_size` unused).
        train_size: Fraction of the stimuli to train on.
        strata: One label a stimulus (e.g. its object); each split keeps their proportions. None: no strata.
        seed: The random state.

    Returns:
        Pairs (train indices, test indices).

    Raises:
        VentralError: if the sizes, or strata of one member, allow no such split.
    """
    splits, seed = draws("splits", splits, 1), whole("seed", seed, 0)
    train_size = float(fit(train_size, Annotated[float, Within(above=0, below=1)], "train_size"))
    if strata is not None and len(strata) != stimuli:
        raise VentralError(f"{len(strata)} strata labels for {stimuli} stimuli; expected one a stimulus")
    splitter: Any
    if scheme == "shuffle":
        shuffle = ShuffleSplit if strata is None else StratifiedShuffleSplit
        splitter = shuffle(n_splits=splits, train_size=train_size, random_state=seed)
    elif scheme == "k_fold":
        folds = KFold if strata is None else StratifiedKFold
        splitter = folds(n_splits=splits, shuffle=True, random_state=seed)
    else:
        raise unknown("split scheme", scheme, ("shuffle", "k_fold"))
    labels = None if strata is None else np.asarray(strata)
    try:
        return tuple((train, test) for train, test in splitter.split(np.zeros(stimuli), labels))
    except ValueError as error:
        kind = "shuffled" if scheme == "shuffle" else "k-fold"
        raise VentralError(f"cannot make {splits} {kind} splits of {stimuli} stimuli: {error}") from error


def halves(items: int, halvings: int = 10, seed: int = 1) -> tuple[TrainTest, ...]:
    """Random split-halves of `items` things (repetitions, neuroids); the smaller half is first when `items` is odd.

    As Brain-Score's internal consistency splits repetitions (random state 1).

    Raises:
        VentralError: for fewer than two items.
    """
    if items < 2:
        raise VentralError(f"cannot split {items} item in halves; expected at least 2")
    return train_test_splits(items, draws("halvings", halvings, 1), train_size=0.5, seed=seed)
