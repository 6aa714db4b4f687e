"""Cells: local recurrence. One file each, one registry."""

from ventralstream.cells.base import Cell, Drive, State
from ventralstream.cells.cornet import CORnetR, CORnetS
from ventralstream.cells.decay import Decay
from ventralstream.cells.gru import GRU
from ventralstream.cells.intersection import IntersectionRNN
from ventralstream.cells.lstm import LSTM
from ventralstream.cells.reciprocal import Reciprocal
from ventralstream.cells.registry import create_cell, list_cells, register_cell
from ventralstream.cells.rnn import SimpleRNN
from ventralstream.cells.ugrnn import UGRNN

__all__ = [
    "GRU",
    "LSTM",
    "UGRNN",
    "CORnetR",
    "CORnetS",
    "Cell",
    "Decay",
    "Drive",
    "IntersectionRNN",
    "Reciprocal",
    "SimpleRNN",
    "State",
    "create_cell",
    "list_cells",
    "register_cell",
]
