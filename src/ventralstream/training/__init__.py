"""Training: a `Recipe` says how, `ventralstream.training.run` does it (and needs torch and lightning)."""

from ventralstream.training.loss import (
    DecisionLoss,
    Loss,
    MeanLoss,
    RandomDurationLoss,
    RandomStepLoss,
    WeightedLoss,
)
from ventralstream.training.optimizers import SGD, AdamW, Muon, Optimizer
from ventralstream.training.recipe import Place, Recipe
from ventralstream.training.recipe_file import list_recipes, load_recipe
from ventralstream.training.schedule import Schedule

__all__ = [
    "SGD",
    "AdamW",
    "DecisionLoss",
    "Loss",
    "MeanLoss",
    "Muon",
    "Optimizer",
    "Place",
    "RandomDurationLoss",
    "RandomStepLoss",
    "Recipe",
    "Schedule",
    "WeightedLoss",
    "list_recipes",
    "load_recipe",
]
