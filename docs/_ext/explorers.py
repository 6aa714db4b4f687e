"""Live examples of the explorer: pages that are made while the site is built, and the cards that lead to them.

A page says

    ```{explorers}
    clutter in_turn neurons
    ```
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from posixpath import relpath
from typing import Any

import numpy as np
from docutils import nodes
from matplotlib.colors import LinearSegmentedColormap
from sphinx.util.docutils import SphinxDirective

from ventralstream import brain
from ventralstream.data.scenes import compose_scenes
from ventralstream.data.stimuli import Stimuli
from ventralstream.explore import neural
from ventralstream.explore.examples import Pictures, examples
from ventralstream.explore.exhibit import beside, traced
from ventralstream.explore.page import page
from ventralstream.explore.trace import Trace
from ventralstream.models import open_model
from ventralstream.report.palette import LIGHT
from ventralstream.report.plots import COLOURS, INK, MUTED, look, new_figure

FOLDER = "explorer"  # of the site
ACTIVITY = LinearSegmentedColormap.from_list("activity", [LIGHT[f"q{i}"] for i in range(5)])


@dataclass(frozen=True)
class Made:
    """A page, and what draws a small picture of it."""

    html: str
    draw: Callable[[Any], None]


@dataclass(frozen=True)
class Example:
    """A live example.

    Attributes:
        title: What stands on its card and at the top of its page.
        text: What to look at.
        make: Makes it, given the title.
    """

    title: str
    text: str
    make: Callable[[str], Made]


def _clutter(title: str) -> Made:
    opened = open_model("rgc_digits:scenes")
    other, tags = beside(opened, "cut:recurrence,feedback")
    pictures = examples(opened.network.spec, opened.class_names)
    traces = [traced(network, pictures) for network in (opened, other)]
    intact, without = ([_answer(t, 0, ms) for ms in (50, 60, 120, 130)] for t in traces)
    assert intact == ["8", "1", "1", "1"] and without[:3] == ["8"] * 3 != without[1:], "the card says otherwise"
    return Made(page(traces, tags, title=title), lambda figure: _film(figure, traces[0], range(1, 15, 2)))


def _in_turn(title: str) -> Made:
    opened = open_model("cornet_s_cifar:cifar10")
    trace = traced(opened, _first(examples(opened.network.spec, opened.class_names), 1))
    horse = trace.header["images"]["names"].index("horse")
    one, two = trace.header["answer"]["confidence"][horse][-2:]
    assert (
        trace.header["answer"]["first_step"] == 7 and _answer(trace, horse, 70) == _answer(trace, horse, 80) == "deer"
    )
    assert one < two, "the card says otherwise"
    return Made(page([trace], title=title), lambda figure: _film(figure, trace, range(9)))


SCENES, REPEATS, NEURONS = 160, 12, 16


def _neurons(title: str) -> Made:
    opened = open_model("rgc_digits:scenes")
    scenes = compose_scenes(SCENES, split="test", clutter=[0, 1, 2, 3], seed=1, size=32)
    ids = tuple(f"scene {i}" for i in range(SCENES))
    images = Stimuli(ids, scenes.images[:, 0].numpy())
    areas = ["conv2", "conv3", "conv4", "conv5"]
    features = brain.features(opened.network, images, areas, reduce="mean")
    recordings = _spikes(features["conv4"], ids)
    shown = ids[:8]
    pictures = Pictures(scenes.images[:8], shown, tuple(str(int(k)) for k in scenes.labels[:8]), "scenes")
    found = neural.beside(features, recordings, shown, "Invented neurons that follow conv4")
    r = {area: np.nanmean(_floats(entry["r"][4:])) for area, entry in found["areas"].items()}
    gone = found["areas"]["conv2"]["r"][9]
    assert max(r, key=r.__getitem__) == "conv4" and (gone is None or gone < 0.1), "the card says otherwise"
    return Made(page([traced(opened, pictures)], title=title, neural=found), lambda figure: _response(figure, found))


def _spikes(area: Any, ids: tuple[str, ...]) -> Any:
    """A recording of neurons that follow random mixtures of an area's channels, and fire at random at that rate."""
    rng = np.random.default_rng(0)
    drive = np.einsum("ict,cn->int", area.values, rng.normal(size=(area.sizes["neuroid"], NEURONS)))
    apart = drive.std(0)
    drive = (drive - drive.mean(0)) / np.where(apart > 1e-6, apart, np.inf)  # as strong at each step that is driven
    rate = 0.03 * np.exp(0.8 * drive).repeat(10, axis=2)  # spikes a millisecond
    spikes = rng.random((REPEATS, *rate.shape)) < rate
    return brain.from_spikes(
        spikes.reshape(-1, *rate.shape[1:]),
        onset=0,
        stimulus_id=list(ids) * REPEATS,
        neuroid_id=[str(n + 1) for n in range(NEURONS)],
    )


def _answer(trace: Trace, image: int, ms: float) -> str:
    """What a network says of an image at a time."""
    answer = trace.header["answer"]
    return str(answer["classes"][answer["top"][image][round(ms / trace.header["dt_ms"]) - answer["start"]]])


def _first(pictures: Pictures, which: int) -> Pictures:
    """The same pictures, another of them first."""
    order = [which, *(i for i in range(len(pictures.names)) if i != which)]
    names, truths = (tuple(words[i] for i in order) for words in (pictures.names, pictures.truths))
    return replace(pictures, pixels=pictures.pixels[order], names=names, truths=truths)


def _film(figure: Any, trace: Trace, steps: range) -> None:
    """Areas by steps, as on the page, for the first image."""
    header = trace.header
    areas = [a for a in header["areas"] if "maps" in a]
    axes = figure.subplots(1 + len(areas), len(steps), squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[], box_aspect=1)
        axis.grid(False)
        axis.spines[:].set_visible(False)
    for axis, step in zip(axes[0], steps, strict=True):
        axis.imshow(_shown(trace, step), cmap="gray", vmin=0, vmax=255)
    for row, area in zip(axes[1:], areas, strict=True):
        picture = trace.array(area["picture"])[0]
        for axis, step in zip(row, steps, strict=True):
            if area["exists"][step]:
                axis.imshow(picture[step], cmap=ACTIVITY, vmin=0, vmax=255, alpha=1 if area["driven"][step] else 0.25)
    for row, name in zip(axes, ["image", *(a["name"] for a in areas)], strict=True):
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for axis, step in zip(axes[-1], steps, strict=True):
        axis.set_xlabel(f"{step * header['dt_ms']:g} ms")


def _shown(trace: Trace, step: int) -> np.ndarray:
    """What the first image's film has at a step: the image, or the blank's colour."""
    pixels = trace.array(trace.header["images"]["image"])[0]
    segment = next(s for s in trace.header["segments"] if s["start"] <= step < s["stop"])
    return (
        pixels if segment["shows"] == "image" else np.broadcast_to(np.uint8(segment["colour"]), (*pixels.shape[:2], 3))
    )


def _response(figure: Any, found: dict[str, Any]) -> None:
    """The most reliable neuron's responses to two images with what conv4 predicts, and how well areas predict."""
    times = [(a + b) / 2 for a, b in found["bins"]]
    left, right = figure.subplots(1, 2)
    for i, colour in zip((0, 1), COLOURS, strict=False):
        left.plot(times, found["measured"][i][0], color=colour)
        left.plot(times, found["areas"]["conv4"]["predicted"][i][0], color=colour, linestyle=":")
    left.set(xlabel="ms", title="a neuron, two images")
    for (name, entry), colour in zip(found["areas"].items(), COLOURS, strict=False):
        right.plot(times, _floats(entry.get("r", [])), color=colour, label=name)
    right.plot(times, _floats(found["ceiling"]), color=MUTED, linestyle="--", label="ceiling")
    right.set(xlabel="ms", title="r, by area", ylim=(0, 1))
    right.legend(fontsize=7, labelcolor=INK)


def _floats(values: list[float | None]) -> list[float]:
    return [float("nan") if v is None else v for v in values]


EXAMPLES = {
    "clutter": Example(
        "Digits in clutter, with recurrence and without",
        "At 50 ms the network takes the 1 for an 8; at 60 ms, when its areas have read their own past, it sees the 1."
        " The same weights without recurrence and feedback keep to the 8, and lose it 50 ms after the image went.",
        _clutter,
    ),
    "in_turn": Example(
        "CORnet-S, one area after the other",
        "Each area works on the image for a few steps, hands on what it has found and rests, so that the first answer"
        " comes at 70 ms. Choose the horse: IT's second step makes the network surer that it is a deer.",
        _in_turn,
    ),
    "neurons": Example(
        "Neurons beside units",
        "Neurons that we invented follow conv4 and fire at random, and each area of the network is asked to predict"
        " them. conv4 does it best, and conv2 fails as soon as the image has left it: choose an area, and look"
        " below the maps.",
        _neurons,
    ),
}


class Explorers(SphinxDirective):
    """Cards of live examples."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Called by Sphinx."""
        folder = relpath(FOLDER, str(Path(self.env.docname).parent))
        cards = [_card(folder, name, EXAMPLES[name]) for name in " ".join(self.content).split()]
        return [nodes.raw("", f'<div class="explorers">{"".join(cards)}</div>', format="html")]


def _card(folder: str, name: str, example: Example) -> str:
    title = escape(example.title)
    return (
        f'<a class="explorer" href="{folder}/{name}.html"><img src="{folder}/{name}.png" alt="" loading="lazy">'
        f"<strong>{title}</strong><span>{escape(example.text)}</span></a>"
    )


def write(folder: Path) -> None:
    """Makes all examples: NAME.html, the page, and NAME.png, a picture of it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, example in EXAMPLES.items():
        made = example.make(example.title)
        (folder / f"{name}.html").write_text(made.html, encoding="utf-8")
        with look():
            figure = new_figure(6, 3)
            made.draw(figure)
            figure.savefig(folder / f"{name}.png", dpi=120)


def _finish(app: Any, error: Exception | None) -> None:
    if error is None:
        write(Path(app.outdir) / FOLDER)


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("explorers", Explorers)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True}
