"""What every tutorial does first, out of sight: how its figures and what it prints come onto a page."""

from __future__ import annotations

import os
import warnings

import matplotlib.pyplot  # noqa: F401 - so that a figure that is a cell's value is shown
from matplotlib_inline.backend_inline import set_matplotlib_formats
from myst_nb import glue as glue

set_matplotlib_formats("retina")  # PNG, which pages other than a figure's own can show too
warnings.filterwarnings("ignore", message="IProgress not found")  # of tqdm, which some library imports
os.environ.pop("FORCE_COLOR", None)  # a kernel sets it; pages cannot show a terminal's colours
