"""What is measured beside the contenders, a file each: every `measure()` returns one more table of the report."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from benchmarks.report import Table

_FILES = {
    "flup-child": "flup_child",
    "pool": "pool",
    "spool": "spool",
    "php-transport": "php_transport",
    "php-journey": "php_journey",
}

NAMES = tuple(_FILES)

Measure = Callable[[Path], Table]
"""Measures in a directory that is there for it alone."""


def measure(name: str) -> Measure:
    """Return how this is measured."""
    return cast("Measure", import_module(f"{__name__}.{_FILES[name]}").measure)
