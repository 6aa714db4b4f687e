"""`ventral show`: a model's areas, what the planner makes of its unroll, and what that costs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from ventralstream.errors import printable

if TYPE_CHECKING:
    from rich.text import Text

    from ventralstream.program import Program
    from ventralstream.spec import NetworkSpec


def show(
    model: str = typer.Argument(..., help="A registered model (see `ventral list`), NAME:TAG, or the folder of a run."),
    steps: int | None = typer.Option(None, help="Steps to unroll; the model's own number by default."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON (with the whole architecture)."),
) -> None:
    """Show a model: its areas, which steps are computed, reused or skipped, parameters, FLOPs and memory."""
    from ventralstream.cost import cost
    from ventralstream.models import find_spec

    spec = find_spec(model)
    counted, program = cost(spec, steps)
    if as_json:
        fates = {a.name: [program.fates[a.name, t] for t in range(program.request.stop)] for a in spec.areas}
        data = {"model": spec.name, "steps": program.request.stop, **counted.to_json(), "fates": fates}
        typer.echo(json.dumps({**data, "spec": spec.to_json()}, indent=1))
        return

    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    last_ms = (program.request.stop - 1) * spec.dt_ms
    console.print(
        f"[bold]{escape(printable(spec.name))}[/]"
        f"  {program.request.stop} steps of {spec.dt_ms:g} ms (the last at {last_ms:g} ms)\n"
    )
    console.print(_areas(spec))
    console.print(_unroll(program))
    ratio = counted.flops_planned / counted.flops_naive
    batched = counted.flops_planned_batched / counted.flops_naive
    console.print(
        f"parameters   {counted.parameters / 1e6:.2f} M\n"
        f"area-steps   {counted.area_steps_planned} of {counted.area_steps_naive}\n"
        f"FLOPs        {counted.flops_planned / 1e9:.3g} G an image, naive {counted.flops_naive / 1e9:.3g} G"
        f" ({ratio:.2f} of it; {batched:.2f} in a large batch)\n"
        f"memory       about {counted.activation_bytes / 2**20:.0f} MiB an image to run,"
        f" {counted.training_bytes / 2**20:.0f} MiB to train (naive {counted.training_bytes_naive / 2**20:.0f} MiB)"
    )


def _areas(spec: NetworkSpec) -> object:
    from rich.table import Table
    from rich.text import Text

    from ventralstream.models.areas import area_rows

    table = Table("area", "cell", "output", "reads", "driven from", box=None, pad_edge=False)
    for row in area_rows(spec):
        table.add_row(*(Text(printable(cell)) for cell in row))  # names are no markup
    return table


def _unroll(program: Program) -> Text:
    from rich.text import Text

    styles = {"#": "bold green", "1": "cyan", "=": "yellow", ".": "bright_black"}
    text = Text("\n")
    for line in program.summary().splitlines()[:-1]:
        head, _, cells = line.partition("  ") if line.strip().startswith("step") else _split(line)
        text.append(f"{head}  ")
        for mark in cells:
            text.append(mark, styles.get(mark, "") if not head.strip().startswith("step") else "bold")
        text.append("\n")
    counts = {f: program.count(f) for f in ("computed", "batch-free", "reused", "skipped")}
    text.append("# ", styles["#"])
    text.append(f"computed {counts['computed']}   ")
    text.append("1 ", styles["1"])
    text.append(f"computed once for all images {counts['batch-free']}   ")
    text.append("= ", styles["="])
    text.append(f"reused {counts['reused']}   ")
    text.append(". ", styles["."])
    text.append(f"skipped {counts['skipped']}\n")
    return text


def _split(line: str) -> tuple[str, str, str]:
    head = line[: len(line) - len(line.lstrip()) + line.lstrip().index("  ")]
    return head, "  ", line[len(head) + 2 :]
