"""The images of a run: to train on, and to validate on."""

from __future__ import annotations

import torch

from ventralstream.data import LabelledSet, load_set
from ventralstream.data.pixels import generator
from ventralstream.errors import VentralError
from ventralstream.training.recipe import Place, Recipe

Sets = tuple[LabelledSet, LabelledSet]  # to train and to validate on
HOLDOUT_SEED = 1  # of the images that are held out: the same ones for every network and seed


def load_sets(recipe: Recipe, place: Place) -> Sets:
    """The sets to train and to validate on; which images they hold does not depend on the recipe's seed."""
    root, size = place.root, recipe.size
    if recipe.holdout is None:
        return (
            load_set(recipe.data, root, "train", size=size, subset=recipe.subset),
            load_set(recipe.data, root, "val", size=size, subset=recipe.val_subset),
        )
    data = load_set(recipe.data, root, "train", size=size)
    if recipe.holdout >= len(data):
        raise VentralError(f"{recipe.holdout} images are to be held out of '{recipe.data}', which has {len(data)}")
    order = torch.randperm(len(data), generator=generator(HOLDOUT_SEED))
    held, left = order[: recipe.holdout], order[recipe.holdout :]
    for wanted, there in ((recipe.subset, left), (recipe.val_subset, held)):
        if wanted is not None and wanted > len(there):
            raise VentralError(f"a subset of {wanted} images was asked for, there are {len(there)} with this holdout")
    return (data.select(left[: recipe.subset].sort().values), data.select(held[: recipe.val_subset].sort().values))
