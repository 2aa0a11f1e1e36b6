"""The faults of processes on SQLite, each in a short ordeal."""

import pytest

from tests.faults.conftest import Undergo
from tests.faults.process_faults import FAULTS, TOGETHER

NAMED = {fault.name: fault for fault in FAULTS}


@pytest.mark.parametrize("names", TOGETHER, ids=" and ".join)
def test_nothing_is_lost(holds: Undergo, names: tuple[str, ...]) -> None:
    """Every promise holds through it."""
    holds("sqlite", *(NAMED[name] for name in names))


def test_each_fault_has_a_short_ordeal() -> None:
    """None is left for the long run alone."""
    assert {name for names in TOGETHER for name in names} == set(NAMED)
