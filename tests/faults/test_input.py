"""The faults of what comes in, in a short ordeal on each broker."""

from tests.faults.conftest import Undergo, on_each_stage
from tests.faults.input_faults import MESSAGES, ROWS
from tests.faults.ordeal import Fault, in_turn


@on_each_stage((in_turn(*MESSAGES), *ROWS))
def test_nothing_is_lost(holds: Undergo, on: str, fault: Fault) -> None:
    """Every promise holds through it."""
    holds(on, fault)
