"""How the site is built of these pages: `python scripts/build_site.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE / "_ext"), os.environ.get("PYTHONPATH"))))

from ventralstream.report.palette import DARK, LIGHT  # noqa: E402
from ventralstream.version import __version__  # noqa: E402

project = "ventralstream"
author = "The ventralstream developers"
copyright = author
version = release = __version__
language = "en-GB"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "objects",
    "links_in_docstrings",
    "command_line",
    "notebook_pages",
    "explorers",
]
exclude_patterns = ["_ext"]
root_doc = "index"

# Pages: Markdown; those that begin with a notebook's header are executed, each in a folder of its own.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "fieldlist"]
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE.parent / "build" / "notebooks")
nb_execution_in_temp = True
nb_execution_timeout = 600  # seconds, of one cell; a machine may be busy
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# The reference, from docstrings.
default_role = "py:obj"  # `names` in docstrings are links where they are ours, and code elsewhere
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "ventralstream"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    f"{name}_css_variables": {"color-brand-primary": colours["s1"], "color-brand-content": colours["s1"]}
    for name, colours in (("light", LIGHT), ("dark", DARK))
}
