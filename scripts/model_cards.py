"""Writes docs/models/ from the registry: python scripts/model_cards.py"""

from pathlib import Path

from ventralstream.models.cards import write_cards

if __name__ == "__main__":
    files = write_cards(Path(__file__).parents[1] / "docs" / "models")
    print(f"{len(files)} pages in {files[0].parent}")
