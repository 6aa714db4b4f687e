"""The networks that commands are given by name, and what is to be said of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ventralstream.errors import VentralError, printable

if TYPE_CHECKING:
    from ventralstream.models.create import Opened


def open_told(model: str, seed: int = 0) -> tuple[Opened, str]:
    """A network by what it is called on the command line, and a note on its weights, which is also said on stderr.

    Args:
        model: See `ventralstream.models.open_model`.
        seed: Of fresh weights.

    Returns:
        The network, and the note: that its weights are untrained, or its run not complete; empty if there is nothing
        to say.
    """
    from ventralstream.models import open_model

    opened = open_model(model, seed)
    note = unfinished(model) if opened.trained else f"{model}: the weights are untrained (random, seed {seed})"
    if note:
        typer.echo(printable(note), err=True)
    return opened, note


def refuse_twice(names: Sequence[str]) -> None:
    """Raises VentralError if two of several models have the same name."""
    for name in names:
        if names.count(name) > 1:
            raise VentralError(
                f"two models are called '{printable(name)}'; give each once, and folders whose names differ"
            )


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
