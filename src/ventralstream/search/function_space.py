"""A user's own space: a function that makes a network of the values of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ventralstream.errors import VentralError, unknown
from ventralstream.search.parameters import Parameter, Values, fitted
from ventralstream.search.space import RECIPE, Candidate, as_spec, check_training, split_training
from ventralstream.spec import NetworkSpec

Make = Callable[..., NetworkSpec]


@dataclass(frozen=True)
class FunctionSpace:
    """A function with its parameters; made by `search_space`.

    Attributes:
        name: Its name: the function's.
        parameters: What is chosen, by name.
        known: Known points, by name.
        make: The function.
        file: Where it stands.
        source: The text of that file.
    """

    name: str
    parameters: Mapping[str, Parameter]
    known: Mapping[str, Values]
    make: Make = field(repr=False)
    file: str = ""
    source: str = field(default="", repr=False)

    def candidate(self, values: Mapping[str, object]) -> Candidate:
        """The candidate for values of all parameters."""
        network, training = split_training(fitted(values, self.parameters, f" of the space '{self.name}'"))
        return Candidate(as_spec(self.make(**network), f"the space '{self.name}'"), training)

    def to_json(self) -> dict[str, Any]:
        """What it is; the function itself stays in its file."""
        parameters = {name: parameter.to_json() for name, parameter in self.parameters.items()}
        return {"type": "function_space", "name": self.name, "file": self.file, "parameters": parameters}


def search_space(
    *, recipe: Mapping[str, Parameter] | None = None, known: Mapping[str, Values] | None = None, **parameters: Parameter
) -> Callable[[Make], FunctionSpace]:
    """Decorates a function from values to a network's spec, which becomes a space.

    @search_space(width=Whole(16, 64, log=True), kernel=OneOf((3, 5)), recipe={"optimizer.lr": Number(0.01, 1)})
    def my_space(width, kernel):
        return vs.NetworkSpec(...)

    Every parameter is chosen in every trial; the function may leave out what does not matter.

    Args:
        recipe: What is chosen of the training: parameters by the path of the recipe's field.
        known: Values of all parameters, by the name of the point: they are tried first.
        parameters: What the function is called with.

    Raises:
        VentralError: if the function does not take these parameters, or a known point is no point of the space.
    """
    trained = {RECIPE + path: parameter for path, parameter in (recipe or {}).items()}
    for name, parameter in {**parameters, **trained}.items():
        if not isinstance(parameter, Parameter):
            raise VentralError(f"the parameter '{name}' is {parameter!r}; expected OneOf, Whole or Number")
    check_training(trained)

    def make(function: Make) -> FunctionSpace:
        name = function.__name__
        _check_takes(function, parameters)
        both = {**parameters, **trained}
        points = {
            point: fitted(values, both, f" of the known point '{point}'") for point, values in (known or {}).items()
        }
        file = Path(inspect.getsourcefile(function) or "")
        source = file.read_text(encoding="utf-8") if file.is_file() else ""
        return FunctionSpace(name, both, points, function, str(file.absolute()) if source else "", source)

    return make


def _check_takes(function: Make, parameters: Mapping[str, Parameter]) -> None:
    taken = inspect.signature(function).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values()):
        return
    for name in parameters:
        if name not in taken:
            raise unknown("parameter", name, taken, f" of the function '{function.__name__}'")
    for name, parameter in taken.items():
        if name not in parameters and parameter.default is inspect.Parameter.empty:
            raise VentralError(f"the function '{function.__name__}' takes '{name}', which the space does not choose")
