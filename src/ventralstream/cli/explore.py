"""`ventral explore`: what a network does with images in time, as a page to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ventralstream.cli import options
from ventralstream.cli.config import CONFIG
from ventralstream.cli.shown import MASKED_HELP, presentation_of
from ventralstream.errors import VentralError, printable

if TYPE_CHECKING:
    from ventralstream.explore.examples import Pictures
    from ventralstream.explore.trace import Trace
    from ventralstream.models.create import Opened
    from ventralstream.presentation import Presentation

DEFAULT = "rgc_digits:scenes"
SMALL = 1e9  # operations for an image, up to which several threads wait for each other longer than they work


def explore(
    model: Annotated[
        str,
        typer.Argument(help=f"{options.NETWORK_HELP}.", show_default=f"{DEFAULT}, which comes with the package"),
    ] = "",
    more: Annotated[list[Path] | None, typer.Argument(hidden=True)] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help="Image files, or a folder of them: --images a.png b.png.", show_default="examples in the box"
        ),
    ] = None,
    presentation: Annotated[str | None, typer.Option(help=f"{MASKED_HELP}.", show_default="the network's")] = None,
    steps: options.Steps = None,
    versus: Annotated[
        str | None,
        typer.Option(
            help="A second network beside it; or itself with something cut: cut:recurrence, cut:feedback, or a"
            " connection, as cut:conv5-conv3."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Recordings to show beside it, as for `ventral brain score`; --images is then the folder of their"
            " images."
        ),
    ] = None,
    root: options.Root = None,
    out: Annotated[Path | None, typer.Option("--out", help="The page to write, e.g. page.html.")] = None,
    port: Annotated[
        int,
        typer.Option(help="Without --out: where to listen; 0 for any port that is free.", callback=options.at_least(0)),
    ] = 0,
    title: Annotated[
        str | None, typer.Option(help="What stands at the top of the page.", show_default="the network's name")
    ] = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    config: Path | None = CONFIG,
) -> None:
    """Look at a network in time: its areas, feature maps and answers, step by step, in a browser.

    `ventral explore` alone serves a live page on this machine: drop in an image, cover a part of it, choose what is
    shown for how long, cut a connection. With --out it writes one page that needs nothing else, e.g.
    `ventral explore cornet_s:published --images *.png --versus cut:recurrence --out page.html`.
    """
    options.use_threads(threads)
    if model and (images is not None or more) and _is_image(model):
        model, more = "", [Path(model), *(more or [])]
    if more and images is None:
        raise VentralError(f"'{printable(more[0])}' is one name too many; images are named after --images")
    given = [*(images or []), *(more or [])]
    shown = None if presentation is None else presentation_of(presentation, masks=True)
    if out is None:
        _live(model, given, shown, steps, versus, data, title, port, seed, threads)
        return
    if not out.resolve().parent.is_dir():
        raise VentralError(f"the folder of the page '{printable(out)}' does not exist")

    from ventralstream.extras import require

    if data is not None:
        require("brain")
    from ventralstream.cli.explore_data import open_session
    from ventralstream.cli.opened import open_told
    from ventralstream.explore.exhibit import beside, image_files
    from ventralstream.explore.page import page
    from ventralstream.explore.trace import MOST_BYTES
    from ventralstream.files import write_text

    session = None if data is None else open_session(data, root, given)
    paths = [] if session else image_files(given)
    opened, _ = open_told(model or DEFAULT, seed)
    networks, tags = [opened], [opened.name]
    if versus is not None:
        other, named = beside(opened, versus, seed)
        networks, tags = [opened, other], list(named)
    if threads is None and all(_is_small(network) for network in networks):
        options.use_threads(1)
    traces = []
    for network in networks:
        pictures = session.pictures(network) if session else _pictures(network, paths)
        traces.append(_traced(network, pictures, steps, shown, MOST_BYTES // len(networks)))
    neural = session.beside(opened, steps, shown) if session else None
    text = page(traces, tags, title=title or "", neural=neural)
    write_text(out, text)
    typer.echo(
        printable(f"{out}: {opened.name}, {len(traces[0].header['images']['names'])} images ({pictures.source}),")
    )
    typer.echo(f"  {traces[0].header['steps']} steps; {len(text.encode()) / 1e6:.1f} MB. Open it in a browser.")


def _live(
    model: str,
    images: list[Path],
    shown: Presentation | None,
    steps: int | None,
    versus: str | None,
    data: str | None,
    title: str | None,
    port: int,
    seed: int,
    threads: int | None,
) -> None:
    """Serves the live page until Ctrl-C."""
    named = {"--images": images, "--presentation": shown, "--steps": steps, "--versus": versus}
    named |= {"--data": data, "--title": title}
    if chosen := [name for name, value in named.items() if value]:
        raise VentralError(
            f"{chosen[0]} is of a page that is written (--out page.html); the live page asks for it itself"
        )
    from ventralstream.extras import require

    require("explore")
    from ventralstream.checkpoints.box import boxed
    from ventralstream.cli.opened import open_told
    from ventralstream.explore.server import serve
    from ventralstream.explore.studio import Studio

    first = model or DEFAULT
    opened, _ = open_told(first, seed)
    if threads is None and _is_small(opened):
        options.use_threads(1)
    in_the_box = [f"{folder.parent.name}:{folder.name}" for folder in boxed()]
    studio = Studio([first, *in_the_box], seed)
    serve(studio, port, lambda address: typer.echo(f"{address}\nOpen it in a browser; Ctrl-C ends it."))


def _is_small(opened: Opened) -> bool:
    from ventralstream.cost import decision_flops

    network = opened.network
    presentation = network.spec.presentation
    return decision_flops(network.spec, network.count_steps(None, presentation), presentation)[0] <= SMALL


def _is_image(name: str) -> bool:
    from ventralstream.explore.exhibit import is_image_name

    return is_image_name(name)


def _pictures(opened: Opened, paths: list[Path]) -> Pictures:
    from ventralstream.explore.examples import examples
    from ventralstream.explore.exhibit import pictures_of

    spec = opened.network.spec
    return pictures_of(spec, paths) if paths else examples(spec, opened.class_names)


def _traced(
    opened: Opened, pictures: Pictures, steps: int | None, shown: Presentation | None, most_bytes: int
) -> Trace:
    from ventralstream.explore.exhibit import traced
    from ventralstream.progress import Progress

    with Progress("tracing", len(pictures.names), "images") as progress:
        return traced(opened, pictures, steps, shown, most_bytes, lambda done: progress.update(done, opened.name))
