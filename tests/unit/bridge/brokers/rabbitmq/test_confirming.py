"""A channel that publishes with confirms keeps count of its messages as RabbitMQ does."""

import asyncio
import math
import re
from types import SimpleNamespace
from typing import cast

import pytest
from aiormq.channel import Channel as Engine

from bridge.brokers.rabbitmq.connection import publishing_internals
from bridge.brokers.rabbitmq.connection.client_internals import UNSENT_AT_MOST
from bridge.brokers.rabbitmq.connection.confirms import Confirm
from bridge.brokers.rabbitmq.publishing.confirming import LARGE_BODY, ConfirmingChannel
from bridge.brokers.rabbitmq.publishing.frames import Properties


class Socket:
    """A writer to a socket that takes nothing, while `waiting` bytes wait for it."""

    waiting = 0

    def __init__(self) -> None:
        self.transport = self
        self.writes: list[bytes] = []

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    async def drain(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def socket() -> Socket:
    """Return the socket of the channel."""
    return Socket()


@pytest.fixture
async def channel(socket: Socket) -> ConfirmingChannel:
    """Return a channel that is open."""
    closing = asyncio.Future[None]()
    connection = SimpleNamespace(
        connection_tune=SimpleNamespace(frame_max=0),
        deliveries=SimpleNamespace(take_frames=lambda number, taker: None),
        transports=SimpleNamespace(writer=socket),
        is_closed=False,
    )
    engine = SimpleNamespace(number=1, connection=connection, closing=closing, is_closed=False)
    return ConfirmingChannel(cast(Engine, engine))


async def test_a_message_without_room_takes_no_number(channel: ConfirmingChannel, socket: Socket) -> None:
    """Nothing of it is written, and the answers to later messages are their own."""
    answers: list[str] = []
    socket.waiting = UNSENT_AT_MOST + 1

    with pytest.raises(asyncio.QueueFull):
        channel.write("", "mail", Properties(2), b"refused", lambda error: answers.append("refused"))
    socket.waiting = UNSENT_AT_MOST
    channel.write("", "mail", Properties(2), b"first", lambda error: answers.append("first"))
    channel._confirmed(Confirm(1, False, True))

    assert answers == ["first"]


async def test_the_messages_of_one_turn_are_sent_together(
    channel: ConfirmingChannel, socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message after a pause is sent at once. Those that follow it are sent in their order, in one piece."""
    monkeypatch.setattr(publishing_internals, "PAUSE", 0.0)
    channel.write("", "mail", Properties(2), b"first", lambda error: None)
    at_once = list(socket.writes)
    monkeypatch.setattr(publishing_internals, "PAUSE", math.inf)
    for body in (b"second", b"third"):
        channel.write("", "mail", Properties(2), body, lambda error: None)
    in_the_turn = list(socket.writes)
    await asyncio.sleep(0)

    assert len(at_once) == len(in_the_turn) == 1
    assert [re.findall(b"first|second|third", data) for data in socket.writes] == [[b"first"], [b"second", b"third"]]


async def test_a_large_message_overtakes_no_other(
    channel: ConfirmingChannel, socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent with those that were written before it in this turn, and waits for the socket."""
    monkeypatch.setattr(publishing_internals, "PAUSE", math.inf)

    async def publish() -> None:
        channel.write("", "mail", Properties(2), b"first", lambda error: None)
        await channel.publish("", "mail", Properties(2), b"l" * LARGE_BODY)

    task = asyncio.create_task(publish())
    while not socket.writes:
        await asyncio.sleep(0)
    await asyncio.sleep(0)

    (data,) = socket.writes
    assert data.index(b"first") < data.index(b"lll")
    assert not task.done()
    task.cancel()
