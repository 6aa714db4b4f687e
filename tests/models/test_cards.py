"""The model cards in docs/ are those that the registry gives now."""

from __future__ import annotations

from pathlib import Path

import ventralstream as vs
from ventralstream.models.cards import card, write_cards
from ventralstream.report.graph import graph, write_graphs

CARDS = Path(__file__).parents[2] / "docs" / "models"
DRAWINGS = CARDS.parent / "images" / "models"


def test_the_cards_in_docs_are_current(tmp_path: Path) -> None:
    for made in write_cards(tmp_path):
        assert (CARDS / made.name).read_text() == made.read_text(), f"{made.name}: run scripts/model_cards.py"
    assert {f.stem for f in CARDS.glob("*.md")} == {"index", *vs.list_models()}
    for made in write_graphs(vs.list_models(), tmp_path):
        assert (DRAWINGS / made.name).read_text() == made.read_text(), f"{made.name}: run scripts/model_cards.py"
    assert {f.stem for f in DRAWINGS.iterdir()} == set(vs.list_models())


def test_a_drawing_has_every_area_connection_and_loop() -> None:
    for name in ("rgc_intermediate", "cornet_s", "recurrent4_cifar", "resnet18"):
        spec, drawn = vs.model_spec(name), graph(vs.model_spec(name))
        for area in ("image", *(a.name for a in spec.areas)):
            assert f">{area}</text>" in drawn
        for c in spec.connections:
            assert c.source == c.target or f">{c.kind}: {c.source} to {c.target}</title>" in drawn
    assert {n for n in ("V1", "V2", "V4", "IT") if f"{n} has a state" in graph(vs.model_spec("cornet_s"))} == {
        "V2",
        "V4",
        "IT",
    }


def test_a_card_tells_what_users_look_for() -> None:
    text = card("rgc_intermediate")
    for part in ("15,4", "top-1 73 %, top-5 91.16 %", "| conv9 | reciprocal |", "conv10 (feedback)", "step 10, 100 ms"):
        assert part in text, part
    assert "| conv10 |" in text and "cIT/aIT |" in text
