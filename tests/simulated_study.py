"""Studies of trials that were never done, for tests of what is made of studies."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ventralstream.search.objective import Sleep
from ventralstream.search.options import Search
from ventralstream.search.simulate import simulate
from ventralstream.search.spaces import load_space
from ventralstream.search.study import Study, create_study
from ventralstream.training import Recipe

EPOCHS = 3


def planted(values: Mapping[str, Any], noise: random.Random) -> float:
    """An accuracy that depends on three parameters, most of all on whether the input enters the cell."""
    accuracy = 0.3 + 0.2 * values["cell.input_to_cell"] + 0.05 * (values["cell.gate_activation"] == "sigmoid")
    return accuracy - 0.01 * abs(values["cell.tau_kernel"] - 3) + 0.01 * noise.random()


def simulated(folder: Path, count: int, name: str = "made_up", **options: Any) -> Study:
    """A study of the space cifar-small in an SQLite file in a folder."""
    recipe = Recipe(epochs=EPOCHS)
    search = Search(objective=Sleep(), trials=count)
    study = create_study(
        name, str(folder / "search.db"), load_space("cifar-small"), recipe, search, folder=folder / name
    )
    simulate(study, count, planted, **options)
    return study
