"""`ventral brain`: how well models explain recordings and people. One file a command."""

from __future__ import annotations

import typer

from ventralstream.cli.brain import behaviour, consistency, decode, ost, people, rsa, score

app = typer.Typer(
    name="brain",
    help="How well a model explains recordings and people: scores with ceilings, tables, JSON and figures.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command, name in (
    (score.score, "score"),
    (consistency.consistency, "consistency"),
    (decode.decode, "decode"),
    (ost.ost, "ost"),
    (rsa.rsa, "rsa"),
    (behaviour.behaviour, "behaviour"),
    (people.people, "people"),
):
    app.command(name)(command)
