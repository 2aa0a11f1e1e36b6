"""A channel that publishes with confirms keeps count of its messages as RabbitMQ does."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiormq.channel import Channel as Engine

from bridge.brokers.rabbitmq.connection.confirms import Confirm
from bridge.brokers.rabbitmq.publishing.confirming import ConfirmingChannel
from bridge.brokers.rabbitmq.publishing.frames import Properties


async def test_a_message_without_room_takes_no_number() -> None:
    """Nothing of it is written, and the answers to later messages are their own."""
    queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
    connection = SimpleNamespace(
        connection_tune=SimpleNamespace(frame_max=0),
        deliveries=SimpleNamespace(take_frames=lambda number, taker: None),
        writer=None,
    )
    engine = SimpleNamespace(number=1, connection=connection, write_queue=queue, closing=asyncio.Future[None]())
    channel = ConfirmingChannel(cast(Engine, engine))
    answers: list[str] = []
    queue.put_nowait("another frame")

    with pytest.raises(asyncio.QueueFull):
        channel.write("", "mail", Properties(2), b"refused", lambda error: answers.append("refused"))
    queue.get_nowait()
    channel.write("", "mail", Properties(2), b"first", lambda error: answers.append("first"))
    channel._confirmed(Confirm(1, False, True))

    assert answers == ["first"]
