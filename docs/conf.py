"""Sphinx's configuration. `make docs` makes a site of the pages in this directory, and `llms.txt` (page_index.py)."""

import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from outside_links import without_outside_links  # noqa: E402  # of this directory
from page_index import llms_txt, with_toctrees  # noqa: E402

_distribution = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]

project = _distribution["name"]
version = release = _distribution["version"]
author = "the authors of deferred-event-bridge"
copyright = "Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = False
suppress_warnings = [
    "misc.highlighting_failure",  # an abridged JSON of an example
]

myst_heading_anchors = 6  # the anchors that GitHub gives, so that a link works here and there
myst_enable_extensions = ["deflist"]

default_role = "code"  # docstrings have `names` as Markdown has them
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "furo"
html_title = f"{project} {version}"
html_copy_source = True
html_show_sourcelink = True
html_static_path: list[str] = []


def setup(app: Any) -> None:
    """Name outside files instead of linking them, and write `llms.txt` next to the site's first page."""
    app.connect("source-read", _read)
    app.connect("build-finished", lambda app, failed: failed or _write_llms_txt(Path(app.outdir)))


def _read(_app: Any, page: str, source: list[str]) -> None:
    text = without_outside_links(source[0])
    source[0] = with_toctrees(text) if page == "index" else text


def _write_llms_txt(directory: Path) -> None:
    if (directory / "_sources").is_dir():  # of a builder that makes HTML
        (directory / "llms.txt").write_text(llms_txt((HERE / "index.md").read_text("utf-8")), "utf-8")
