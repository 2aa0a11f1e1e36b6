"""The names of the product that mutants and deaths replace still exist, so that a renaming shows before the ordeals."""

import subprocess
import sys

from tests.faults.dying import POINTS

APPLY_ALL = """
from tests.faults import effect_mutants, mutants
[mutant() for mutant in (*mutants.MUTANTS.values(), *effect_mutants.MUTANTS.values())]
"""


def test_mutants_replace_existing_names() -> None:
    """Every mutant can be applied. A process of its own does it, since a mutant cannot be undone."""
    applied = subprocess.run([sys.executable, "-c", APPLY_ALL], capture_output=True, text=True, check=False)

    assert applied.returncode == 0, applied.stderr


def test_points_are_existing_methods() -> None:
    """Every point at which a program is killed is a method of its class."""
    points = [point for brokers in POINTS.values() for named in brokers.values() for point in named.values()]

    assert points
    assert [point for point in points if not callable(getattr(point.owner, point.method, None))] == []
