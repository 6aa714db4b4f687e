"""Writes docs/models/ and its drawings from the registry: python scripts/model_cards.py"""

from pathlib import Path

from ventralstream.models import list_models
from ventralstream.models.cards import write_cards
from ventralstream.report.graph import write_graphs

if __name__ == "__main__":
    docs = Path(__file__).parents[1] / "docs"
    files = write_cards(docs / "models")
    drawings = write_graphs(list_models(), docs / "images" / "models")
    print(f"{len(files)} pages in {files[0].parent}, {len(drawings)} drawings in {drawings[0].parent}")
