"""Accuracies foretold from the table of trained networks: a search that trains nothing, for minutes instead of days.

For tests of the search itself, and to compare samplers on a problem like the real one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ventralstream.errors import VentralError
from ventralstream.jsonable import tagged
from ventralstream.search.objective import Hooks, Objective, Outcome
from ventralstream.search.outcomes import TRAINED
from ventralstream.search.space import Candidate, split_training
from ventralstream.search.trained import table
from ventralstream.training.recipe import Place, Recipe

LEAST = 20  # trained networks, below which nothing can be foretold
TREES = 100
Features = dict[str, str | float]


@tagged("surrogate")
@dataclass(frozen=True)
class Surrogate(Objective):
    """Foretells the accuracy of a network after each epoch, from those that were trained, instead of training it.

    A forest of trees is fitted to what differs between the table's networks (`features`); `foretold_well` says how far
    it can be trusted.

    Attributes:
        foretold_from: The file of the trials; "" is the package's own (`vs.search.table`).
        foretold_space: Only the trials of this space; all of them if "".
    """

    costs: ClassVar[bool] = False

    foretold_from: str = ""
    foretold_space: str = ""

    def prepare(self, candidate: Candidate, recipe: Recipe, place: Place) -> None:
        self.foretell(candidate)

    def run(self, candidate: Candidate, hooks: Hooks) -> Outcome:
        by_epoch = self.foretell(candidate)
        for epoch, accuracy in enumerate(by_epoch, 1):
            hooks.tick()
            hooks.report(epoch, accuracy)
        return Outcome(max(by_epoch))

    def foretell(self, candidate: Candidate) -> list[float]:
        """The accuracy after each epoch that is expected of a candidate."""
        vectorizer, forest = _fitted(self.foretold_from, self.foretold_space)
        found = features(candidate.spec.to_json(), dict(candidate.training))
        return [float(v) for v in np.ravel(forest.predict(vectorizer.transform([found])))]


def features(spec: Mapping[str, Any], training: Mapping[str, Any]) -> Features:
    """What a network is made of, and how it is trained, as names and values that a regressor takes.

    Args:
        spec: The network's spec as plain data.
        training: What was chosen of the recipe, by the path of the field.
    """
    found: Features = {f"recipe.{path}": _value(value) for path, value in training.items()}
    for area in spec["areas"]:
        _flat(area["name"], {key: area[key] for key in ("drive", "cell", "output", "window")}, found)
    for c in spec["connections"]:
        if c["kind"] not in ("feedforward", "skip"):
            found[f"{c['source']} to {c['target']}"] = 1.0
    found |= {"steps": float(spec["steps"]), "readout": str(spec["readout"]["type"])}
    return found


def foretold_well(path: str = "", space: str = "", folds: int = 5, seed: int = 0) -> float:
    """How well accuracies are foretold: Spearman's correlation with the true ones, of networks that were left out.

    Args:
        path, space: The file and the space, as of `Surrogate`.
        folds: In so many parts, each foretold from the others.
        seed: Of the parts.

    Raises:
        VentralError: there are too few trained networks.
    """
    from scipy.stats import spearmanr
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    x, y = _examples(path, space)
    told = cross_val_predict(make_pipeline(*_untrained()), x, y, cv=KFold(folds, shuffle=True, random_state=seed))
    return float(spearmanr(told.max(1), y.max(1)).statistic)


@lru_cache(maxsize=4)
def _fitted(path: str, space: str) -> tuple[Any, Any]:
    x, y = _examples(path, space)
    vectorizer, forest = _untrained()
    forest.fit(vectorizer.fit_transform(x), y)
    return vectorizer, forest


def _untrained() -> tuple[Any, Any]:
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.feature_extraction import DictVectorizer

    return DictVectorizer(sparse=False), ExtraTreesRegressor(TREES, min_samples_leaf=2, random_state=0)


def _examples(path: str, space: str) -> tuple[list[Features], NDArray[np.float64]]:
    """Of each network that was trained to the end its features, and its accuracy after each epoch."""
    rows = table(path or None)
    rows = rows[rows["outcome"] == TRAINED]
    rows = rows[rows["space"] == space] if space else rows
    rows = rows[rows["epochs"] == rows["epochs"].max()]
    if len(rows) < LEAST:
        where = f" of the space '{space}'" if space else ""
        raise VentralError(
            f"the table has {len(rows)} trained networks{where}; expected at least {LEAST} to foretell others"
        )
    x = [
        features(json.loads(spec), split_training(json.loads(params))[1])
        for spec, params in zip(rows["spec"], rows["params"], strict=True)
    ]
    return x, np.array([json.loads(text) for text in rows["accuracy_by_epoch"]], dtype=float)


def _flat(path: str, data: Any, found: Features) -> None:
    """Adds what nested data holds, each value under its path."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            _flat(f"{path}.{key}", value, found)
    elif isinstance(data, (list, tuple)):
        for i, value in enumerate(data):
            _flat(f"{path}.{i}", value, found)
    elif data is not None:
        found[path] = _value(data)


def _value(value: Any) -> str | float:
    return value if isinstance(value, str) else float(value)
