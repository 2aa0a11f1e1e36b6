"""Translates failures of a connection into the bridge's errors, for code that uses a temporary connection."""

from collections.abc import Iterator
from contextlib import contextmanager

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import BROKEN, cancelled_by_us_alone, refusal
from bridge.brokers.rabbitmq.connection.errors import error_text
from bridge.errors import BrokerUnavailable


@contextmanager
def as_bridge_errors(address: Address) -> Iterator[None]:
    """Raise `BrokerRefused` if RabbitMQ refuses something in the block, and `BrokerUnavailable` if the connection
    fails."""
    try:
        with cancelled_by_us_alone():
            yield
    except BROKEN as error:
        unavailable = BrokerUnavailable(f"RabbitMQ at {address} does not answer: {error_text(error)}")
        raise refusal(error, address) or unavailable from error
