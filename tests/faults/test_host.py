"""The faults of the host, in short ordeals."""

from tests.faults.conftest import Undergo, on_each_stage
from tests.faults.host_faults import CLOCKS, DISKS, MEANS
from tests.faults.ordeal import Fault, in_turn


@on_each_stage((*DISKS, in_turn(*MEANS), *CLOCKS))
def test_nothing_is_lost(holds: Undergo, on: str, fault: Fault) -> None:
    """Every promise holds through it."""
    holds(on, fault)
