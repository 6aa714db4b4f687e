"""What is searched: a space makes a candidate of values of its parameters, a network and its own training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ventralstream.errors import VentralError, unknown
from ventralstream.jsonable import from_json
from ventralstream.search.parameters import Parameter, Value, Values
from ventralstream.spec import NetworkSpec
from ventralstream.training.recipe import Recipe

RECIPE = "recipe."  # what begins the name of a parameter of the training, before the path of the recipe's field


@dataclass(frozen=True)
class Candidate:
    """What one trial trains.

    Attributes:
        spec: The network.
        training: What is chosen of the recipe: values by the path of the field, e.g. {"optimizer.lr": 0.05}.
    """

    spec: NetworkSpec
    training: Values = field(default_factory=dict)

    def recipe(self, base: Recipe) -> Recipe:
        """The recipe it is trained by.

        Args:
            base: The study's recipe.

        Raises:
            VentralError: if the recipe has no such field, or the value does not fit it.
        """
        return changed_recipe(base, self.training)

    @property
    def spec_hash(self) -> str:
        """The same for the same network, whatever it is called: 16 hexadecimal digits."""
        return digest({**self.spec.to_json(), "name": ""})

    @property
    def key(self) -> str:
        """The same for candidates of which the training gives the same."""
        return digest([self.spec_hash, dict(sorted(self.training.items()))])


class Space(Protocol):
    """A search space. `CellSpace` is one as data; a function with its parameters is another (`search_space`)."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """What is chosen, by name: all of it in every trial, also what does not matter in it."""

    @property
    def known(self) -> Mapping[str, Values]:
        """Known points, by name: they are tried first."""

    @property
    def source(self) -> str:
        """The text of the file in which the user made it; "" if it is data."""

    def candidate(self, values: Mapping[str, object]) -> Candidate:
        """The candidate for values of all parameters; VentralError if one is missing, unknown or out of range."""

    def to_json(self) -> dict[str, Any]:
        """All there is to know of it, from which a worker finds it again (`spaces.space_from_json`)."""


def digest(data: Any) -> str:
    """16 hexadecimal digits of JSON-able data."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changed_recipe(base: Recipe, training: Values) -> Recipe:
    """A recipe with some fields changed, each named by its path: {"optimizer.lr": 0.05}."""
    data = base.to_json()
    for path, value in training.items():
        place: Any = data
        *parents, last = path.split(".")
        for name in parents:
            place = _within(place, name, path)[name]
        _within(place, last, path)[last] = value
    made: Recipe = from_json(data)
    return made


def split_training(values: Values) -> tuple[dict[str, Value], dict[str, Value]]:
    """Values of the network's parameters, and those of the training's by the paths of their fields."""
    network = {name: value for name, value in values.items() if not name.startswith(RECIPE)}
    training = {name.removeprefix(RECIPE): value for name, value in values.items() if name.startswith(RECIPE)}
    return network, training


def check_training(parameters: Mapping[str, Parameter]) -> None:
    """Raises VentralError if a parameter of the training is no field of a recipe."""
    for name in parameters:
        head = name.removeprefix(RECIPE).split(".")[0]
        if name.startswith(RECIPE) and head not in Recipe().to_json():
            raise unknown("field of a recipe", head, [f for f in Recipe().to_json() if f != "type"])


def _within(place: Any, name: str, path: str) -> dict[str, Any]:
    if not isinstance(place, dict) or name not in place:
        names = [key for key in place if key != "type"] if isinstance(place, dict) else []
        if not names:
            raise VentralError(f"the recipe has no '{path}' that could be searched")
        raise unknown("field of the recipe", name, names, f" in '{path}'")
    return place


def as_spec(value: object, where: str) -> NetworkSpec:
    """A network's spec; VentralError if it is something else."""
    if not isinstance(value, NetworkSpec):
        raise VentralError(f"{where} gave a {type(value).__name__}; expected a NetworkSpec")
    return value
