"""How the small space's trials are trained, and where."""

from __future__ import annotations

from ventralstream.training import Place, Recipe

RECIPE = Recipe(data="scenes", size=16, subset=24, val_subset=20, epochs=2, batch_size=8)
PLACE = Place(threads=1, workers=0)
