"""Model cards: what the registry knows of each model, as Markdown (`docs/models/`)."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

from ventralstream.checkpoints.box import boxed_folder
from ventralstream.checkpoints.disk import PROVENANCE_FILE, read_provenance
from ventralstream.files import write_text
from ventralstream.models.areas import area_rows
from ventralstream.models.create import weight_tags
from ventralstream.models.registry import count_parameters, list_models, model_entry, model_spec
from ventralstream.presentation import Presentation
from ventralstream.published.about import Published
from ventralstream.readout import Readout
from ventralstream.timing import first_steps

FAMILIES = {
    "convrnn": "ConvRNNs (Nayebi et al. 2018, 2022)",
    "cornet": "CORnets (Kubilius, Schrimpf et al. 2019)",
    "liao_poggio": "Recurrent ResNets and fully recurrent networks (Liao and Poggio 2016)",
    "rcnn": "Recurrent convolutional layers for small images, and their controls (after Liang & Hu 2015)",
    "feedforward": "Feedforward controls",
    "user": "Others",
}

_ABOUT = """The networks of the papers, their controls, and small ones that are trained in minutes. In the drawings,
areas that recur are blue; skips go above, feedback below. `ventral list` prints the same list, `ventral show MODEL`
what is computed at each step. This page is made from the registry by `python scripts/model_cards.py`."""
_ALL = """```{toctree}
:hidden:
:glob:

*
```"""


def write_cards(folder: str | Path) -> list[Path]:
    """Writes a card for every registered model and an index, `index.md`; gives the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"index": index()} | {name: card(name) for name in list_models()}
    for name, text in pages.items():
        write_text(folder / f"{name}.md", text)
    return [folder / f"{name}.md" for name in pages]


def index() -> str:
    """The list of all models."""
    lines = ["# Models", "", _ABOUT]
    for family, title in FAMILIES.items():
        names = list_models(family=family)  # type: ignore[arg-type]
        if not names:
            continue
        head = "| model | parameters | steps (first answer) | top-1 | |"
        lines += ["", f"## {title}", "", head, "| --- " * 5 + "|"]
        for name in names:
            spec, published = model_spec(name), model_entry(name).published
            first = first_steps(spec)[spec.readout_area]
            top1 = f"{published.top1:g} %" if published and published.top1 is not None else ""
            lines.append(
                f"| [{name}]({name}.md) {_drawing(name)} | {count_parameters(spec) / 1e6:.2f} M |"
                f" {spec.steps} ({first}) | {top1} | {model_entry(name).summary} |"
            )
    lines += ["", "Top-1 is on ImageNet, as the authors of the published weights give it.", "", _ALL]
    return "\n".join(lines) + "\n"


def card(name: str) -> str:
    """The card of a registered model."""
    entry, spec = model_entry(name), model_spec(name)
    lines = [
        f"# {name}",
        "",
        entry.summary,
        "",
        _drawing(name),
        "",
        "| | |",
        "| --- | --- |",
        f"| parameters | {count_parameters(spec):,} |",
        f"| input | {spec.input_shape[1]} x {spec.input_shape[2]} px |",
        f"| steps | {spec.steps} of {spec.dt_ms:g} ms |",
        f"| presentation | {_presentation(spec.presentation)} |",
        f"| readout | {_readout(spec.readout)} |",
        f"| normalisation | mean {_numbers(spec.mean)}, std {_numbers(spec.std)} |",
        f"| options | {_options(name)} |",
        *_published(entry.published),
        *_weights(name),
        "",
        "## Areas",
        "",
    ]
    sites = dict(entry.published.sites) if entry.published else {}
    head = ("area", "cell", "output", "reads", "driven by the image from", *(("recording site",) if sites else ()))
    lines += [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for row in area_rows(spec):
        cells = (*row, sites.get(row[0], "")) if sites else row
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Outputs are channels x height x width at the nominal input size; any other size works"]
    lines[-1] += ", but for LSTM peepholes." if '"peepholes": true' in spec.to_text() else "."
    lines += ["", "```", "import ventralstream as vs", "", f'net = vs.create_model("{name}")', "```", ""]
    return "\n".join(lines)


def _drawing(name: str) -> str:
    return f"![The graph of {name}](../images/models/{name}.svg)"


def _published(published: Published | None) -> list[str]:
    if published is None:
        return []
    rows = []
    if published.top1 is not None:
        top5 = "" if published.top5 is None else f", top-5 {published.top5:g} %"
        rows.append(f"| ImageNet, as published | top-1 {published.top1:g} %{top5} |")
    return [
        *rows,
        f"| source | {published.source} |",
        f"| published weights | {published.page} (licence: {published.weights_licence}) |",
    ]


def _weights(name: str) -> list[str]:
    """A row for each of its weights that are there by name."""
    rows = []
    for tag in weight_tags(name):
        told = "what its authors publish, downloaded when first used"
        if folder := boxed_folder(name, tag):
            known = read_provenance(folder / PROVENANCE_FILE)
            accuracy = f"{known['accuracy']['decision']:.1%}"
            told = f"in the package ({known['licence']}): {accuracy} of the test images of {known['data']}"
        rows.append(f"| `{name}:{tag}` | {told} |")
    return rows or ["| weights | none by name |"]


def _presentation(presentation: Presentation) -> str:
    parts = []
    for segment in presentation.segments:
        what = segment.shows if segment.shows != "blank" else f"a blank of {segment.value:g} ({segment.space})"
        parts.append(what + (f" for {segment.steps} steps" if segment.steps else " to the end"))
    return ", then ".join(parts)


def _readout(readout: Readout) -> str:
    set_ = [
        f"{f.name} {getattr(readout, f.name)}"
        for f in dataclasses.fields(readout)
        if getattr(readout, f.name) != f.default
    ]
    return readout.tag + (f" ({', '.join(set_)})" if set_ else "")


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in values)


def _options(name: str) -> str:
    parameters = inspect.signature(model_entry(name).make).parameters.values()
    return ", ".join(f"`{p.name}={p.default!r}`" for p in parameters)
