"""The faults of processes on RabbitMQ, in short ordeals."""

import pytest

from tests.faults.conftest import Undergo
from tests.faults.ordeal import Fault, named
from tests.faults.process_faults import SHORT

pytestmark = pytest.mark.rabbitmq


@pytest.mark.parametrize("faults", SHORT, ids=named)
def test_nothing_is_lost(holds: Undergo, faults: tuple[Fault, ...]) -> None:
    """Every promise holds through it."""
    holds("rabbitmq", *faults)
