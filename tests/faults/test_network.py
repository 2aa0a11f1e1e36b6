"""The faults of the network, in two short ordeals."""

import pytest

from tests.faults.conftest import Undergo, on_each_stage
from tests.faults.network_faults import BROKEN, SLOW
from tests.faults.ordeal import Fault, in_turn


@pytest.mark.timeout(300)
@on_each_stage((in_turn(*BROKEN), in_turn(*SLOW)))
def test_nothing_is_lost(holds: Undergo, on: str, fault: Fault) -> None:
    """Every promise holds through it."""
    holds(on, fault)
