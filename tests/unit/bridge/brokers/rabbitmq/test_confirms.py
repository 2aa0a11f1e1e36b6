"""RabbitMQ's answers to publishes, in the bytes of a connection: taken in their order, other frames left."""

from typing import Any

import pamqp.frame
import pytest
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from bridge.brokers.rabbitmq.connection.confirms import Confirm, Confirms
from bridge.brokers.rabbitmq.connection.delivery_stream import DeliveryStream

CHANNEL = 1


def octets(*frames: Any, channel: int = CHANNEL) -> bytes:
    """Return frames as RabbitMQ sends them."""
    return b"".join(pamqp.frame.marshal(frame, channel) for frame in frames)


def returned(identity: str, *parts: bytes) -> bytes:
    """Return a message that comes back."""
    header = ContentHeader(0, sum(map(len, parts)), Basic.Properties(message_id=identity, headers={"a": "b"}))
    return octets(Basic.Return(312, "NO_ROUTE", "exchange", "key"), header, *map(ContentBody, parts))


def stream() -> tuple[DeliveryStream, list[object]]:
    """Return a stream that takes the answers of one channel, and the list of what it took."""
    taken: list[object] = []
    found = DeliveryStream()
    found.take_frames(CHANNEL, Confirms(taken.append, taken.append))
    return found, taken


ANSWERS = (
    octets(Basic.Ack(1, multiple=False))
    + returned("second", b"one part", b" and another")
    + octets(Basic.Ack(2), Basic.Nack(5, multiple=True))
    + returned("empty")
    + octets(Basic.Ack(2**40, multiple=True))
)
EXPECTED = [
    Confirm(1, False, True),
    "second",
    Confirm(2, False, True),
    Confirm(5, True, False),
    "empty",
    Confirm(2**40, True, True),
]


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_answers_are_taken_in_their_order(piece: int) -> None:
    """A message that comes back is known before the confirm that follows it, in any pieces."""
    found, taken = stream()

    left = b"".join(found.feed(ANSWERS[start : start + piece]) for start in range(0, len(ANSWERS), piece))

    assert (taken, left) == (EXPECTED, b"")


def test_other_frames_are_left() -> None:
    """So are the answers of another channel, and all that follows the end of the channel."""
    found, taken = stream()
    others = (
        octets(commands.Confirm.SelectOk())
        + octets(Basic.Ack(7), channel=2)
        + octets(commands.Channel.Close(404, "NOT_FOUND", 60, 40))
        + octets(Basic.Ack(8))
    )

    assert found.feed(others) == others
    assert taken == []
