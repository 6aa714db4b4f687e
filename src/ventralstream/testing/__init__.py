"""What a cell of one's own is checked with: `check_cell`."""

from ventralstream.testing.cell import check_cell

__all__ = ["check_cell"]
