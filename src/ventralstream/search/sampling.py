"""How values are drawn: by Optuna's samplers, each trial with random numbers of its own, and when a trial is pruned."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from ventralstream.errors import VentralError
from ventralstream.search.options import SamplerName
from ventralstream.search.parameters import Number, OneOf, Parameter, Value, Whole
from ventralstream.search.requeue import is_again

MOST_POINTS = 10_000  # of a grid


class Sampler(BaseSampler):
    """TPE or random draws, of which a trial's depend on the study's seed, how many were begun before, and their values.

    So a study that was interrupted goes on as one that was not, and workers do not draw the same. All parameters are
    drawn together (multivariate TPE), as the space does not change from trial to trial.

    Args:
        kind: "tpe" or "random" ("grid" draws nothing: its points are enqueued).
        parameters: What is drawn.
        seed: The study's.
        startup: Finished trials before TPE begins; it draws at random until then.
    """

    def __init__(self, kind: SamplerName, parameters: Mapping[str, Parameter], seed: int, startup: int) -> None:
        self.kind, self.seed, self.startup = kind, seed, startup
        self.space = distributions(parameters)
        self._of_trial: BaseSampler = RandomSampler(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters: those with one value are no choice."""
        return {name: d for name, d in self.space.items() if not d.single()} if self.kind == "tpe" else {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draws all parameters."""
        return self._of_trial.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draws one."""
        return self._of_trial.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Makes the trial's own random numbers."""
        before = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number]
        number = sum(not is_again(t) for t in before)
        seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        if self.kind == "tpe":
            self._of_trial = TPESampler(seed=seed, n_startup_trials=self.startup)
        else:
            self._of_trial = RandomSampler(seed)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Nothing is kept."""


def distributions(parameters: Mapping[str, Parameter]) -> dict[str, BaseDistribution]:
    """Optuna's words for what may be chosen."""
    return {name: _distribution(parameter) for name, parameter in parameters.items()}


def chosen(trial: optuna.Trial, space: Mapping[str, BaseDistribution]) -> dict[str, Value]:
    """A trial's values of all parameters."""
    return {name: trial._suggest(name, distribution) for name, distribution in space.items()}


def grid(parameters: Mapping[str, Parameter]) -> list[dict[str, Value]]:
    """All points of a space.

    Raises:
        VentralError: if it has too many.
    """
    axes: list[tuple[Value, ...]] = []
    points = 1
    for name, parameter in parameters.items():
        axis = parameter.grid()
        if axis is None:
            raise VentralError(
                f"a grid needs a few values of each parameter, '{name}' has any between {_ends(parameter)}; make it a"
                " OneOf, or search by tpe or random"
            )
        axes.append(axis)
        points *= len(axis)
    if points > MOST_POINTS:
        raise VentralError(
            f"the grid of this space has {points:.3g} points; expected at most {MOST_POINTS}: search by tpe or random"
        )
    return [dict(zip(parameters, point, strict=True)) for point in itertools.product(*axes)]


def _ends(parameter: Parameter) -> str:
    return f"{parameter.low:g} and {parameter.high:g}" if isinstance(parameter, (Number, Whole)) else ""


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, OneOf):
        return CategoricalDistribution(parameter.choices)
    if isinstance(parameter, Whole):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    assert isinstance(parameter, Number)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
