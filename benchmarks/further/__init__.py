"""Further measurements, one file for each: every `measure()` returns one more table of the report."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from benchmarks.report import Table
from benchmarks.scale import Scale

_FILES = {
    "publishing": "publishing",
    "calls": "calls",
    "ingress": "ingress",
    "boot": "boot",
    "features": "features",
    "site": "site",
    "page": "page",
    "children": "children",
    "backlog": "backlog",
    "flup-child": "flup_child",
    "pool": "pool",
    "spool": "spool",
    "php-transport": "php_transport",
    "php-journey": "php_journey",
}

NAMES = tuple(_FILES)

Measure = Callable[[Path, Scale], Table]
"""Measures in a directory of its own, with the size of the run. Short parts have sizes of their own."""


def measure(name: str) -> Measure:
    """Return the function that measures the part of this name."""
    return cast("Measure", import_module(f"{__name__}.{_FILES[name]}").measure)
