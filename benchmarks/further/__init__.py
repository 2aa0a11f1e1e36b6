"""Further measurements, one file for each: every `measure()` returns one more table of the report."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from benchmarks.report import Table

_FILES = {
    "calls": "calls",
    "boot": "boot",
    "history": "history",
    "flup-child": "flup_child",
    "pool": "pool",
    "spool": "spool",
    "php-transport": "php_transport",
    "php-journey": "php_journey",
}

NAMES = tuple(_FILES)

Measure = Callable[[Path], Table]
"""Measures in a directory of its own."""


def measure(name: str) -> Measure:
    """Return the function that measures the part of this name."""
    return cast("Measure", import_module(f"{__name__}.{_FILES[name]}").measure)
