"""What to say of a run whose training has not come to its end."""

from __future__ import annotations

from pathlib import Path


def unfinished(folder: str | Path) -> str:
    """A sentence on how far a run's weights are, if not all of its epochs were trained; else empty.

    Args:
        folder: The folder of a run; of a saved network there is nothing to say.
    """
    from ventralstream.training.folder import RECIPE, open_run

    if not (Path(folder) / RECIPE).is_file():
        return ""
    run = open_run(folder)
    if run.complete:
        return ""
    done, epochs = run.position[0], run.recipe.epochs
    weights = f"after epoch {done} of {epochs}" if done else f"from the start: none of its {epochs} epochs is complete"
    return f"{folder}: the run is not complete; these are its weights {weights}"
