"""The faults of a cluster of RabbitMQ nodes, one after the other in a short ordeal."""

from tests.faults.cluster_faults import SHORT
from tests.faults.conftest import Undergo, on_each_stage
from tests.faults.ordeal import Fault


@on_each_stage(SHORT)
def test_nothing_is_lost(holds: Undergo, on: str, fault: Fault) -> None:
    """Every promise holds through it."""
    holds(on, fault)
