"""Faults while events are steered, in short ordeals."""

from tests.faults.conftest import Undergo, on_each_stage
from tests.faults.ordeal import Fault
from tests.faults.steering_faults import SHORT


@on_each_stage(SHORT)
def test_nothing_is_lost(holds: Undergo, on: str, fault: Fault) -> None:
    """Every promise holds through the fault."""
    holds(on, fault)
