"""Studies that are made up: trials that were never done, written at once, for tests of what is made of studies."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from ventralstream.search.parameters import Value, Values
from ventralstream.search.rows import write_trials
from ventralstream.search.study import Study


def simulate(
    study: Study,
    count: int,
    accuracy: Callable[[Mapping[str, Any], random.Random], float],
    *,
    seed: int = 0,
    workers: int = 4,
    spoilt: float = 0.0,
) -> None:
    """Puts trials into a study that were never done: its known cells, then networks drawn at random from its space.

    Args:
        study: The study.
        count: Trials.
        accuracy: The accuracy of a network by its parameters' values, and random numbers for noise.
        seed: Of what is drawn.
        workers: Who is said to have done them, in turn.
        spoilt: What part of them is said to have diverged.
    """
    generator = random.Random(seed)
    known = list(study.space.known.items())[:count]
    drawn = [("", _drawn(study, generator)) for _ in range(count - len(known))]
    begin, free = datetime(2026, 1, 1), [0.0] * workers
    trials = []
    for name, values in known + drawn:
        worker = free.index(min(free))
        seconds = generator.uniform(15, 30)
        good = bool(name) or generator.random() >= spoilt
        trial = _made_up(study, values, accuracy(values, generator), good, generator)
        trial.user_attrs.update(
            worker=f"simulated:{worker}", seconds=round(seconds, 3), **({"known": name} if name else {})
        )
        trial.datetime_start = begin + timedelta(seconds=free[worker])
        trial.datetime_complete = begin + timedelta(seconds=free[worker] + seconds)
        free[worker] += seconds
        trials.append(trial)
    with study.storage.engine.begin() as connection:
        write_trials(connection, study.optuna._study_id, trials)


def _drawn(study: Study, generator: random.Random) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, one in study.space_of.items():
        if isinstance(one, CategoricalDistribution):
            values[name] = cast(Value, generator.choice(one.choices))
        elif isinstance(one, IntDistribution):
            values[name] = generator.randint(one.low, one.high)
        elif isinstance(one, FloatDistribution):
            ends = (math.log(one.low), math.log(one.high)) if one.log else (one.low, one.high)
            value = generator.uniform(*ends)
            values[name] = min(max(math.exp(value) if one.log else value, one.low), one.high)
    return values


def _made_up(study: Study, values: Values, accuracy: float, good: bool, generator: random.Random) -> FrozenTrial:
    candidate, epochs = study.space.candidate(values), study.recipe.epochs
    note: dict[str, Any] = {
        "spec": candidate.spec.to_text(),
        "spec_hash": candidate.spec_hash,
        "key": candidate.key,
        "parameters": 10_000 + int(generator.lognormvariate(12, 0.4)),
        "flops": int(generator.lognormvariate(16.5, 0.5)),
        "outcome": "trained" if good else "diverged",
    }
    note |= {"accuracy_by_step": [accuracy]} if good else {"reason": "it was made up so"}
    return create_trial(
        state=TrialState.COMPLETE if good else TrialState.PRUNED,
        value=accuracy if good else None,
        params=dict(values),
        distributions=study.space_of,
        user_attrs=note,
        intermediate_values={e: accuracy * e / epochs for e in range(1, epochs + 1 if good else 2)},
    )
