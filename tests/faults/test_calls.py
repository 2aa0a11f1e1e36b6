"""Faults while an app calls, in short ordeals."""

from tests.faults.call_faults import SHORT
from tests.faults.conftest import Undergo, on_each_stage
from tests.faults.ordeal import Fault


@on_each_stage(SHORT)
def test_nothing_is_lost(holds: Undergo, on: str, fault: Fault) -> None:
    """Every promise holds through the fault."""
    holds(on, fault)
