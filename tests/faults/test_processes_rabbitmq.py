"""Faults of processes, on RabbitMQ, in short ordeals."""

import pytest

from tests.faults.conftest import Undergo, all_but_the_first_long
from tests.faults.ordeal import Fault, named
from tests.faults.process_faults import SHORT

pytestmark = pytest.mark.rabbitmq


@pytest.mark.parametrize("faults", all_but_the_first_long(SHORT), ids=named)
def test_nothing_is_lost(holds: Undergo, faults: tuple[Fault, ...]) -> None:
    """Every promise holds through the faults."""
    holds("rabbitmq", *faults)
