"""When a consumer's acknowledgements are sent: at once while it is idle, collected while it is busy, never for long."""

import asyncio
from typing import Any, cast

import pytest

from bridge.brokers.rabbitmq.consuming import consumer_channel
from bridge.brokers.rabbitmq.consuming.consumer_channel import ConsumerChannel, sent_at_once
from tests.limits import PATIENCE


@pytest.mark.parametrize(
    ("waiting", "running", "settled", "prefetch", "expected"),
    [
        (False, 0, 1, 32, True),  # idle: the only event
        (False, 5, 1, 32, False),  # others run, and RabbitMQ has room
        (False, 5, 5, 32, False),
        (False, 5, 6, 32, True),  # many have ended
        (False, 1, 1, 2, True),  # slow events: each acknowledgement makes room for the next one
        (False, 1, 1, 0, True),  # the queue is paused
        (True, 0, 1, 32, False),  # the worker has enough to do
        (True, 0, 6, 32, True),
        (True, 0, 7, 256, False),
        (True, 0, 8, 256, True),  # a kill would repeat them
    ],
)
def test_sent_at_once(*, waiting: bool, running: int, settled: int, prefetch: int, expected: bool) -> None:
    """Acknowledgements are collected only while nobody waits for them."""
    assert sent_at_once(waiting=waiting, running=running, settled=settled, prefetch=prefetch) is expected


class Channel:
    """A consumer's channel whose frames are kept, with a queue `mail` of 8 deliveries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[list[Any]] = []
        self.waiting = False
        monkeypatch.setattr(consumer_channel, "is_open", lambda engine: True)
        monkeypatch.setattr(consumer_channel, "socket_has_room", lambda engine: True)
        monkeypatch.setattr(consumer_channel, "write_frames", lambda engine, frames: self.written.append(frames))
        self.consuming = ConsumerChannel(cast(Any, None), lambda: self.waiting, lambda queue: 8, lambda: None)
        for tag in range(1, 9):
            self.consuming.unacked.delivered(tag, "mail")
            self.consuming.hand_out(tag, "mail")

    @property
    def acked_up_to(self) -> list[int]:
        """The tags up to which was acknowledged, by write."""
        return [frames[-1].delivery_tag for frames in self.written]


async def test_the_last_event_is_acknowledged_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timer is waited for: one turn of the event loop is enough."""
    monkeypatch.setattr(consumer_channel, "GATHER_SECONDS", 3600)
    channel = Channel(monkeypatch)
    for tag in range(1, 9):
        channel.consuming.ack(tag)
    await asyncio.sleep(0)

    assert channel.acked_up_to == [8]


async def test_a_quarter_of_the_prefetch_is_acknowledged_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One acknowledgement of eight waits for a second one, and then both are sent in one frame."""
    monkeypatch.setattr(consumer_channel, "GATHER_SECONDS", 3600)
    channel = Channel(monkeypatch)
    channel.consuming.ack(1)
    await asyncio.sleep(0)
    before = list(channel.written)
    channel.consuming.ack(2)
    await asyncio.sleep(0)

    assert before == []
    assert channel.acked_up_to == [2]


async def test_collected_acknowledgements_do_not_wait_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no other event ends, they are sent all the same, also while deliveries wait."""
    channel = Channel(monkeypatch)
    channel.waiting = True
    channel.consuming.ack(1)
    async with asyncio.timeout(PATIENCE):
        while not channel.written:
            await asyncio.sleep(0.001)

    assert channel.acked_up_to == [1]


async def test_a_delivery_that_returns_takes_collected_acknowledgements_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that is given back is never held up."""
    monkeypatch.setattr(consumer_channel, "GATHER_SECONDS", 3600)
    channel = Channel(monkeypatch)
    channel.consuming.ack(1)
    channel.consuming.requeue(2)

    assert [type(frame).__name__ for frame in channel.written[0]] == ["Nack", "Ack"]
