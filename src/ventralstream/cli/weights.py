"""`ventral list --weights`: the weights that there are by name."""

from __future__ import annotations

import json
from typing import Any

import typer


def show_weights(pattern: str, as_json: bool) -> None:
    """Prints a table (or JSON) of the weights of the models whose names match."""
    from ventralstream.errors import unknown
    from ventralstream.models import list_weights

    names = list_weights(pattern)
    if not names:
        raise unknown("model", pattern, dict.fromkeys(n.partition(":")[0] for n in list_weights()), " with weights")
    rows = sorted(map(_row, names), key=lambda row: row["url"] is not None)  # those in the package first
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("weights", "parameters", "trained on", "accuracy", "licence", "where", box=None, pad_edge=False)
    for row in rows:
        accuracy = "" if row["accuracy"] is None else f"{row['accuracy']:.1%}"
        where = "in the package" if row["url"] is None else "downloaded when first used"
        parameters = f"{row['parameters'] / 1e6:.2f} M"
        table.add_row(row["weights"], parameters, row["data"], accuracy, row["licence"], where)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000  # a pipe has no width: no name is cut
    console.print(table)
    typer.echo(
        "\nNAME:TAG wherever a model is named, or create_model(NAME, weights=TAG). Accuracies in the package are on the"
        " test images, by the network's own readout; those of published weights are their authors'."
    )


def _row(full_name: str) -> dict[str, Any]:
    from ventralstream.checkpoints.box import boxed_folder
    from ventralstream.checkpoints.disk import PROVENANCE_FILE, read_provenance
    from ventralstream.models import count_parameters, find_spec, model_entry

    name, _, tag = full_name.partition(":")
    row: dict[str, Any] = {"weights": full_name, "parameters": count_parameters(find_spec(full_name))}
    if folder := boxed_folder(name, tag):
        known = read_provenance(folder / PROVENANCE_FILE)
        return row | {
            "data": known["data"],
            "accuracy": known["accuracy"]["decision"],
            "licence": known["licence"],
            "url": None,
            "provenance": known,
        }
    published = model_entry(name).published
    assert published is not None
    accuracy = None if published.top1 is None else published.top1 / 100
    return row | {
        "data": "imagenet",
        "accuracy": accuracy,
        "licence": published.weights_licence,
        "url": published.files[0].url,
        "provenance": None,
    }
