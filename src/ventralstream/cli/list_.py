"""`ventral list`: the registered models."""

from __future__ import annotations

import json

import typer


def list_(
    pattern: str = typer.Argument("*", help="Only names that match, e.g. 'rgc*'."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the registered models."""
    from rich.console import Console
    from rich.table import Table

    from ventralstream.errors import unknown
    from ventralstream.models import count_parameters, list_models, model_entry, model_spec
    from ventralstream.timing import first_steps

    names = list_models(pattern)
    if not names:
        raise unknown("model", pattern, list_models())
    rows = []
    for name in names:
        spec = model_spec(name)
        rows.append(
            {
                "name": name,
                "family": model_entry(name).family,
                "parameters": count_parameters(spec),
                "steps": spec.steps,
                "first_logits": first_steps(spec)[spec.readout_area],
                "input_size": spec.input_shape[1],
                "summary": model_entry(name).summary,
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table("model", "family", "parameters", "steps", "first logits", "size", "what it is", box=None)
    for row in rows:
        parameters = f"{int(row['parameters']) / 1e6:.2f} M"
        table.add_row(
            str(row["name"]),
            str(row["family"]),
            parameters,
            str(row["steps"]),
            f"step {row['first_logits']}",
            str(row["input_size"]),
            str(row["summary"]),
        )
    Console().print(table)
