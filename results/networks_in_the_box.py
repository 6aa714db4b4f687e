"""The section of docs/results.md on the trained networks that come with the package, made of their provenance alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ventralstream.checkpoints.box import boxed
from ventralstream.report.plots import COLOURS, MARKERS, look, new_figure, save

DATA, FIGURE = "cifar10", "in-the-box.svg"

SECTION = """## Networks in the box

Trained for longer than those below, one seed each: they show what the recipe `cifar10` reaches in
5 of its 20 epochs, not which network is better. Single crop, {images:,} test images, weights as they come with the
package; the last step's answer is the network's. `vs.create_model("{model}", weights="{tag}")` gives the first.

![Accuracy of the networks in the box by step]({figures}/{figure})

| network | parameters | epochs | PFLOP | accuracy, % | by step, % |
| --- | ---: | ---: | ---: | ---: | --- |
"""


def provenances() -> list[dict[str, Any]]:
    """What is known of each that was trained on the images of this page, the most accurate first."""
    there = [json.loads((folder / "provenance.json").read_text(encoding="utf-8")) for folder in boxed()]
    found = [about for about in there if about["data"] == DATA]
    return sorted(found, key=lambda about: -about["accuracy"]["decision"])


def section(figures: str) -> str:
    """The section, with the figure in the folder `figures` beside the page."""
    there = provenances()
    first = there[0]
    lines = []
    for about in there:
        steps = ", ".join(f"{100 * value:.1f}" for value in about["accuracy"]["by_step"].values())
        cells = (
            f"`{about['model']}:{about['tag']}`",
            f"{about['parameters']:,}",
            str(about["recipe"]["epochs"]),
            f"{about['pflop']:.2g}",
            f"{100 * about['accuracy']['decision']:.1f}",
            steps,
        )
        lines.append(f"| {' | '.join(cells)} |")
    text = SECTION.format(
        images=first["accuracy"]["images"], model=first["model"], tag=first["tag"], figures=figures, figure=FIGURE
    )
    return text + "\n".join([*lines, ""])


def draw(folder: Path) -> None:
    """Draws accuracy by step into a folder."""
    with look():
        figure = new_figure(7.6, 3.2)
        axes = figure.subplots()
        for i, about in enumerate(provenances()):
            curve = {int(step): 100 * value for step, value in about["accuracy"]["by_step"].items()}
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            axes.plot(list(curve), list(curve.values()), marker=marker, color=colour, label=about["model"])
            if len(curve) == 1:  # a single answer: shown as a level
                axes.axhline(next(iter(curve.values())), color=colour, linestyle=":", linewidth=1)
        axes.set(xlabel="step", ylabel="accuracy on the test images, %")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    save(figure, folder / FIGURE)
