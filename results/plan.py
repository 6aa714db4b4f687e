"""What runs.yaml says, as data; which runs there are, in which order, and what they came to (logs/)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ventralstream.errors import VentralError, unknown
from ventralstream.jsonable import from_json
from ventralstream.training import Muon, Recipe, load_recipe
from ventralstream.yaml_file import read_yaml

FOLDER = Path(__file__).parent
LOGS = FOLDER / "logs"
CONDITIONS = ("clean", "occluded", "noisy", "masked")


@dataclass(frozen=True)
class Network:
    """A network that is trained: once for each rate of its recipe, shortly, and then for each seed.

    Attributes:
        name: Of the network in networks.py, unless one of the last two says which it is.
        label: What tables call it.
        priority: The smaller, the earlier.
        recipe: How it is trained.
        changes: Fields of the recipe that are other ones for it.
        seeds: The seeds.
        rates: The rates to choose from, where they are other than its recipe's.
        searched: It is the network of this spec's hash in the table of the architecture search.
        as_many_as: It is that of Reciprocal Gated Cells with as many parameters as this other network of the list.
    """

    name: str
    label: str
    priority: int
    recipe: str = "cifar10"
    changes: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    rates: tuple[float, ...] = ()
    searched: str = ""
    as_many_as: str = ""


@dataclass(frozen=True)
class Training:
    """How networks are trained, and how their learning rates are chosen.

    Attributes:
        recipe: The recipe.
        rates: The rates to choose from; a single one is taken as it is.
        short: What is other in the run that chooses.
    """

    recipe: Recipe
    rates: tuple[float, ...]
    short: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Two networks, seed by seed; see runs.yaml."""

    better: str
    than: str
    within: float | None = None
    images: str = "clean"
    over: str | None = None
    matched: bool = False


@dataclass(frozen=True)
class Claim:
    """What a paper says, the comparisons that it is judged by, and what a reader must know of them."""

    name: str
    title: str
    paper: str
    claim: str
    comparisons: tuple[Comparison, ...]
    note: str = ""

    @property
    def networks(self) -> list[str]:
        """The networks compared, each once."""
        return list(dict.fromkeys(name for c in self.comparisons for name in (c.better, c.than)))


@dataclass(frozen=True)
class Run:
    """One training: for a rate of the grid, or with a seed."""

    network: str
    seed: int | None = None
    rate: float | None = None

    @property
    def name(self) -> str:
        """What its folder and its log are called."""
        return f"{self.network}/{f'rate{self.rate:g}' if self.seed is None else f'seed{self.seed}'}"


@dataclass(frozen=True)
class Plan:
    """All that is in runs.yaml."""

    recipes: Mapping[str, Training]
    hard: Mapping[str, Any]
    networks: Mapping[str, Network]
    claims: tuple[Claim, ...]

    def runs(self) -> list[Run]:
        """All runs in the order in which they are wanted."""
        order: list[tuple[int, int, Run]] = []
        for network in self.networks.values():
            order += [(network.priority, -1, run) for run in self.choice(network.name)]
            order += [(network.priority, seed, Run(network.name, seed)) for seed in network.seeds]
        return [run for *_, run in sorted(order, key=lambda entry: entry[:2])]

    def rates(self, network: str) -> tuple[float, ...]:
        """The rates to choose from, in order."""
        return tuple(sorted(self.networks[network].rates or self.training(network).rates))

    def choice(self, network: str) -> list[Run]:
        """The short runs by which a network's rate is chosen; none if there is only one rate."""
        rates = self.rates(network)
        return [Run(network, rate=rate) for rate in rates] if len(rates) > 1 else []

    def needs(self, run: Run) -> list[Run]:
        """What must be known before a run: that of a seed needs the rate."""
        return [] if run.seed is None else self.choice(run.network)

    def training(self, network: str) -> Training:
        """How a network is trained."""
        return self.recipes[self.networks[network].recipe]

    def recipe_of(self, run: Run, logs: Mapping[str, Any]) -> Recipe:
        """The recipe of a run, whose needs are in `logs`."""
        training = self.training(run.network)
        optimizer, rate = training.recipe.optimizer, run.rate or self.best_rate(run.network, logs)
        ours = {"lr": rate, "other_lr": round(rate / 10, 6)} if isinstance(optimizer, Muon) else {"lr": rate}
        recipe = training.recipe.replace(optimizer=optimizer.replace(**ours))
        if run.seed is None:
            return recipe.replace(**training.short)
        return from_json({**recipe.to_json(), "seed": run.seed, **self.networks[run.network].changes}, Recipe)

    def best_rate(self, network: str, logs: Mapping[str, Any]) -> float:
        """The rate with the best held-out accuracy after a short run; the smaller of two equal ones."""
        rates = self.rates(network)
        if len(rates) == 1:
            return rates[0]
        by_rate = {rate: logs[Run(network, rate=rate).name]["accuracy"]["decision"] for rate in rates}
        return max(by_rate, key=lambda rate: by_rate[rate])

    def hard_networks(self) -> set[str]:
        """The networks that a comparison on hard images asks for."""
        asked = [c for claim in self.claims for c in claim.comparisons if {c.images, c.over} - {"clean", None}]
        return {name for c in asked for name in (c.better, c.than)}


def load_plan(path: Path = FOLDER / "runs.yaml") -> Plan:
    """Reads runs.yaml.

    Raises:
        VentralError: for a comparison of a network or on images that are not in it.
    """
    said = read_yaml(path, f"'{path}'")
    networks = {
        name: Network(
            name, **{key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        )
        for name, options in said["networks"].items()
    }
    claims = tuple(
        Claim(**{**claim, "comparisons": tuple(Comparison(**c) for c in claim["comparisons"])})
        for claim in said["claims"]
    )
    for claim in claims:
        for name in claim.networks:
            if name not in networks:
                raise unknown("network", name, networks, f" of the claim '{claim.name}'")
        for c in claim.comparisons:
            for seen in (c.images, c.over or c.images):
                if seen not in CONDITIONS:
                    raise unknown("kind of images", seen, CONDITIONS, f" of the claim '{claim.name}'")
    recipes = {
        name: Training(load_recipe(path.parent / of["file"]), tuple(of["rates"]), of.get("short", {}))
        for name, of in said["recipes"].items()
    }
    for network in networks.values():
        if network.recipe not in recipes:
            raise unknown("recipe", network.recipe, recipes, f" of the network '{network.name}'")
        if network.as_many_as and network.as_many_as not in networks:
            raise unknown("network", network.as_many_as, networks, f" of the network '{network.name}'")
    return Plan(recipes, said["hard"], networks, claims)


def read_logs(folder: Path = LOGS) -> dict[str, Any]:
    """The logs of all finished runs, by the run's name."""
    logs = {}
    for path in sorted(folder.glob("*/*.json")):
        try:
            logs[path.relative_to(folder).with_suffix("").as_posix()] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise VentralError(f"the log '{path}' is damaged; remove it to have the run done again") from None
    return logs
