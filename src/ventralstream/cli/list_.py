"""`ventral list`: the registered models, and the recipes."""

from __future__ import annotations

import fnmatch
import json
from typing import TYPE_CHECKING, Any

import typer

from ventralstream.errors import VentralError

if TYPE_CHECKING:
    from rich.table import Table


def list_(
    pattern: str = typer.Argument("*", help="Only names that match, e.g. 'rgc*'."),
    family: str | None = typer.Option(
        None, help="Only of this family: convrnn, cornet, liao_poggio, rcnn or feedforward.", show_default="all"
    ),
    published: bool = typer.Option(False, "--published", help="Only models of which weights are published."),
    recipes: bool = typer.Option(False, "--recipes", help="List the recipes for `ventral train --recipe` instead."),
    weights: bool = typer.Option(
        False, "--weights", help="The weights that there are, as NAME:TAG: trained ones in the package, published ones."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the registered models, the recipes, or the weights that there are."""
    chosen = {"--recipes": recipes, "--weights": weights, "--published": published, "--family": family is not None}
    alone = [name for name in ("--recipes", "--weights") if chosen[name]]
    if alone and sum(chosen.values()) > 1:
        others = " and ".join(name for name, given in chosen.items() if given and name != alone[0])
        raise VentralError(f"{alone[0]} lists something else than {others}; give one of them")
    if recipes:
        _list_recipes(pattern, as_json)
        return
    if weights:
        from ventralstream.cli.weights import show_weights

        show_weights(pattern, as_json)
        return
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
    _print(table)
    if published:
        pages = dict.fromkeys(row["published_weights"] for row in rows)
        typer.echo(f"\nTheir weights, as NAME:published wherever a model is named: {', '.join(pages)}")
    typer.echo("\n`ventral show MODEL` tells more of each.")


def _list_recipes(pattern: str, as_json: bool) -> None:
    from rich.table import Table

    from ventralstream.errors import unknown
    from ventralstream.training import list_recipes, load_recipe

    about = list_recipes()
    names = [name for name in about if fnmatch.fnmatchcase(name, pattern)]
    if not names:
        raise unknown("recipe", pattern, about)
    recipes = {name: load_recipe(name) for name in names}
    if as_json:
        typer.echo(json.dumps({name: {"about": about[name], **r.to_json()} for name, r in recipes.items()}, indent=1))
        return
    table = Table("recipe", "data", "epochs", "batch", "optimiser", "what it is", box=None, pad_edge=False)
    for name, recipe in recipes.items():
        row = (
            recipe.data,
            str(recipe.epochs),
            str(recipe.batch_size),
            f"{recipe.optimizer.tag} {recipe.optimizer.lr:g}",
        )
        table.add_row(name, *row, about[name])
    _print(table)
    typer.echo("\n`ventral train MODEL --recipe NAME`; give a file or a run's folder for one of your own.")


def _print(table: Table) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = 1000  # a pipe has no width: no name is cut
    console.print(table)
