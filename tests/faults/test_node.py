"""The faults of a RabbitMQ node, in three short ordeals."""

import pytest

from tests.faults.conftest import Undergo, on_each_stage
from tests.faults.node_faults import ENDED, HURT, WITHHELD
from tests.faults.ordeal import Fault, in_turn


@pytest.mark.timeout(300)
@on_each_stage((in_turn(*ENDED), in_turn(*HURT), in_turn(*WITHHELD)))
def test_nothing_is_lost(holds: Undergo, on: str, fault: Fault) -> None:
    """Every promise holds through it."""
    holds(on, fault)
