"""The model cards in docs/ are those that the registry gives now."""

from __future__ import annotations

from pathlib import Path

import ventralstream as vs
from ventralstream.models.cards import card, write_cards

CARDS = Path(__file__).parents[2] / "docs" / "models"


def test_the_cards_in_docs_are_current(tmp_path: Path) -> None:
    for made in write_cards(tmp_path):
        assert (CARDS / made.name).read_text() == made.read_text(), f"{made.name}: run scripts/model_cards.py"
    assert {f.stem for f in CARDS.glob("*.md")} == {"index", *vs.list_models()}


def test_a_card_tells_what_users_look_for() -> None:
    text = card("rgc_intermediate")
    for part in ("15,4", "top-1 73 %, top-5 91.16 %", "| conv9 | reciprocal |", "conv10 (feedback)", "step 10, 100 ms"):
        assert part in text, part
    assert "| conv10 |" in text and "cIT/aIT |" in text
