"""Messages of ordered queues that are held for long."""

import asyncio
from typing import Any, cast

import pytest

from bridge.brokers.rabbitmq.consuming import ordered
from bridge.brokers.rabbitmq.consuming.delivery import Origin, RabbitDelivery
from bridge.brokers.rabbitmq.consuming.ordered import Arrival, OrderedQueues
from tests.limits import PATIENCE
from tests.unit.bridge.examples import envelope


class Channel:
    """A channel that records which tags return to their queue."""

    lost = False

    def __init__(self) -> None:
        self.requeued: list[int] = []

    def requeue(self, tag: int) -> None:
        """Record the tag."""
        self.requeued.append(tag)


async def test_what_is_not_handed_out_returns_to_its_queue_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the queue is paused: RabbitMQ would take it back, with all other deliveries of the channel. What the
    worker has is its own affair."""
    monkeypatch.setattr(ordered, "HELD_AT_MOST", 0.02)
    channel, hand = Channel(), list[RabbitDelivery]()

    def withdraw(delivery: RabbitDelivery) -> bool:
        if delivery not in hand:
            return False
        hand.remove(delivery)
        return True

    queues = OrderedQueues(cast(Any, None), cast(Any, None), hand.append, withdraw, asyncio.ensure_future)
    for tag, queue in enumerate(("paused", "busy")):
        origin = Origin(tag, f"{queue}.1", cast(Any, channel))
        queues.arrived(Arrival(queue, "m", redelivered=False, early=0.0, origin=origin), envelope())
    hand.pop()  # the worker has the one of the queue that is busy

    async with asyncio.timeout(PATIENCE):
        while hand:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)

    assert channel.requeued == [0]
