"""The faults of processes on RabbitMQ, each in a short ordeal."""

import pytest

from tests.faults.conftest import Undergo
from tests.faults.process_faults import FAULTS, TOGETHER

pytestmark = pytest.mark.rabbitmq

NAMED = {fault.name: fault for fault in FAULTS}


@pytest.mark.parametrize("names", TOGETHER, ids=" and ".join)
def test_nothing_is_lost(holds: Undergo, names: tuple[str, ...]) -> None:
    """Every promise holds through it."""
    holds("rabbitmq", *(NAMED[name] for name in names))
