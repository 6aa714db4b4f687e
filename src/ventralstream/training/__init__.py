"""Training: a `Recipe` says how, `ventralstream.training.run` does it (and needs torch and lightning)."""

from ventralstream.training.recipe import SGD, AdamW, Optimizer, Place, Recipe, Schedule

__all__ = ["SGD", "AdamW", "Optimizer", "Place", "Recipe", "Schedule"]
