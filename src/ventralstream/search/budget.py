"""Budgets: what a network costs is counted from its plan, before it is trained."""

from __future__ import annotations

import optuna

from ventralstream.cost import forward_cost
from ventralstream.errors import VentralError
from ventralstream.search.options import Search
from ventralstream.search.sampling import distributions
from ventralstream.search.space import Space

_DRAWS = 30  # that a budget may refuse one after the other


def over_budget(search: Search, parameters: int, flops: int) -> str:
    """Why a network is refused; "" if it is not."""
    if search.max_parameters is not None and parameters > search.max_parameters:
        return f"{parameters:,} parameters are more than the budget of {search.max_parameters:,}"
    if search.max_mflop is not None and flops > search.max_mflop * 1e6:
        return f"{flops / 1e6:.4g} MFLOP an image are more than the budget of {search.max_mflop:g}"
    return ""


def check_budget(space: Space, search: Search) -> None:
    """Raises VentralError if none of some networks drawn at random meets the budget."""
    drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(search.seed))
    space_of = distributions(space.parameters)
    costs: list[tuple[int, int]] = []
    for _ in range(_DRAWS):
        cost = forward_cost(space.candidate(drawn.ask(space_of).params).spec)
        if not over_budget(search, *cost):
            return
        costs.append(cost)
    parameters, flops = (min(of) for of in zip(*costs, strict=True))
    raise VentralError(
        f"none of {_DRAWS} networks drawn from '{space.name}' meets the budget: the smallest has {parameters:,}"
        f" parameters, the cheapest needs {flops / 1e6:.4g} MFLOP"
    )
