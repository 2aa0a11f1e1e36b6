"""The faults of RabbitMQ before publishers that spool, in two short ordeals."""

import pytest

from tests.faults.conftest import Undergo, on_each_stage
from tests.faults.ordeal import Fault, in_turn
from tests.faults.spool_faults import OF_THE_NETWORK, OF_THE_NODE


@pytest.mark.timeout(300)
@on_each_stage((in_turn(*OF_THE_NODE), in_turn(*OF_THE_NETWORK)))
def test_nothing_is_lost(holds: Undergo, on: str, fault: Fault) -> None:
    """Every promise holds through it, and no request is refused."""
    holds(on, fault)
