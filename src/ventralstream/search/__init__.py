"""The architecture search: a space of networks, trials that train them briefly, workers on one machine or a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ventralstream.search.cell_space import CellSpace as CellSpace
    from ventralstream.search.function_space import search_space as search_space
    from ventralstream.search.options import Search as Search
    from ventralstream.search.parameters import Number as Number
    from ventralstream.search.parameters import OneOf as OneOf
    from ventralstream.search.parameters import Whole as Whole
    from ventralstream.search.space import Candidate as Candidate
    from ventralstream.search.spaces import list_spaces as list_spaces
    from ventralstream.search.spaces import load_space as load_space
    from ventralstream.search.study import create_study as create_study
    from ventralstream.search.study import open_study as open_study
    from ventralstream.search.trained import table as table
    from ventralstream.search.worker import work as work
else:
    from ventralstream.lazy import attach

    __getattr__, __dir__, __all__ = attach(__name__)
