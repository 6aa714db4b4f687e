"""`ventral list`: the registered models."""

from __future__ import annotations

import json
from typing import Any

import typer


def list_(
    pattern: str = typer.Argument("*", help="Only names that match, e.g. 'rgc*'."),
    family: str | None = typer.Option(
        None, help="Only of this family: convrnn, cornet, liao_poggio or feedforward.", show_default="all"
    ),
    published: bool = typer.Option(False, "--published", help="Only models of which weights are published."),
    weights: bool = typer.Option(
        False, "--weights", help="The weights that there are, as NAME:TAG: trained ones in the package, published ones."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the registered models, or the weights that there are of them."""
    if weights:
        from ventralstream.cli.weights import show_weights

        show_weights(pattern, as_json)
        return
    from rich.console import Console
    from rich.table import Table

    from ventralstream.errors import unknown
    from ventralstream.models import count_parameters, list_models, model_entry, model_spec
    from ventralstream.timing import first_steps

    names = list_models(pattern, family, published or None)  # type: ignore[arg-type]
    if not names:
        raise unknown("model", pattern, list_models(family=family, published=published or None))  # type: ignore[arg-type]
    rows: list[dict[str, Any]] = []
    for name in names:
        spec, theirs = model_spec(name), model_entry(name).published
        rows.append(
            {
                "name": name,
                "family": model_entry(name).family,
                "parameters": count_parameters(spec),
                "steps": spec.steps,
                "first_logits": first_steps(spec)[spec.readout_area],
                "input_size": spec.input_shape[1],
                "summary": model_entry(name).summary,
                "published_weights": theirs and theirs.page,
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table("model", "family", "parameters", "steps", "first logits", "input", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            row["name"],
            row["family"],
            f"{row['parameters'] / 1e6:.2f} M",
            str(row["steps"]),
            f"step {row['first_logits']}",
            f"{row['input_size']} px",
        )
    console = Console()
    if not console.is_terminal:
        console.width = 1000  # a pipe has no width: no name is cut
    console.print(table)
    if published:
        pages = dict.fromkeys(row["published_weights"] for row in rows)
        typer.echo(f"\nTheir weights, as NAME:published wherever a model is named: {', '.join(pages)}")
    typer.echo("\n`ventral show MODEL` tells more of each.")
