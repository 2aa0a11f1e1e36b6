"""The deliveries of ordered queues. RabbitMQ delivers such a queue to one consumer alone, one message at a time, and
gives that message to another consumer only when this connection is gone.

So a retry holds its message unsettled while it waits, and nothing overtakes it. History and time of the retry are in
the log of the heads. After a redelivery they are read from there.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from bridge.brokers.rabbitmq.consuming.delivery import Origin, RabbitDelivery
from bridge.brokers.rabbitmq.consuming.heads import Heads, Retry
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.envelope import Envelope
from bridge.errors import BridgeError, DeliveryLost
from bridge.event import after
from bridge.handling import Priority

HELD_AT_MOST = 1200.0
"""Seconds after which a waiting message returns to its queue, which delivers it again at once: RabbitMQ takes back what
is held for longer than its consumer_timeout, with all other deliveries of the channel."""

READ_AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that was delivered from an ordered queue, some seconds `early` if it has left the delay ladder so."""

    queue: str
    message_id: str
    redelivered: bool
    early: float
    origin: Origin


class OrderedQueues:
    """Hands out the messages of ordered queues, each again when its retry is due. `withdraw` takes a delivery back that
    the worker does not have yet, and returns whether that was so."""

    def __init__(
        self,
        heads: Heads,
        publisher: RabbitPublisher,
        hand_out: Callable[[RabbitDelivery], None],
        withdraw: Callable[[RabbitDelivery], bool],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._heads = heads
        self._publisher = publisher
        self._hand_out = hand_out
        self._withdraw = withdraw
        self._offered: dict[str, tuple[RabbitDelivery, float]] = {}
        self._looking: set[str] = set()
        self._spawn = spawn

    def arrived(self, arrival: Arrival, envelope: Envelope) -> None:
        """Hand out a message, with the history of its retries if it was delivered before."""
        if arrival.redelivered:
            self._spawn(self._restore(arrival, envelope))
        elif arrival.early:
            asyncio.get_running_loop().call_later(arrival.early, self._offer, arrival, envelope, 0)
        else:
            self._offer(arrival, envelope, 0)

    async def _restore(self, arrival: Arrival, envelope: Envelope) -> None:
        while not arrival.origin.channel.lost:
            try:
                retry = await self._heads.find(arrival.queue, arrival.message_id, envelope.event.data)
            except BridgeError as error:
                log.warning("the retries of ordered queue %s cannot be read: %s; trying again", arrival.queue, error)
                await asyncio.sleep(READ_AGAIN_SECONDS)
                continue
            except Exception:  # this task ends silently, and nothing else would hand the event out
                what = "internal error while its retries are read; its event runs as it was first published"
                log.exception("ordered queue %s: %s", arrival.queue, what)
                retry = None
            if retry is None or retry.envelope.event.id != envelope.event.id:
                self._offer(arrival, envelope, 0)
            else:
                await self._wait(arrival, retry)
            return

    def _offer(self, arrival: Arrival, envelope: Envelope, number: int) -> None:
        token = f"{arrival.queue}:{arrival.message_id}:{number}"
        in_place = partial(self._retry, arrival, number + 1)
        if arrival.origin.channel.lost:
            return
        queue, loop = arrival.queue, asyncio.get_running_loop()
        delivery = RabbitDelivery(
            envelope, queue, Priority.NORMAL, token, arrival.redelivered, arrival.origin, self._publisher, in_place
        )
        self._hand_out(delivery)
        self._offered[queue] = delivery, loop.time()
        if queue not in self._looking:
            self._looking.add(queue)
            loop.call_later(HELD_AT_MOST, self._look, queue)

    def _look(self, queue: str) -> None:
        """Return the last message of a queue if it was not handed out for too long, as while the queue is paused."""
        loop = asyncio.get_running_loop()
        delivery, since = self._offered[queue]
        if (left := since + HELD_AT_MOST - loop.time()) > 0:
            loop.call_later(left, self._look, queue)
            return
        self._looking.discard(queue)
        if self._withdraw(delivery):
            with suppress(DeliveryLost):
                delivery.return_now()

    async def _retry(self, arrival: Arrival, number: int, envelope: Envelope, wait: timedelta) -> None:
        retry = Retry(envelope, number, after(datetime.now(UTC), wait.total_seconds()))
        await self._heads.put(arrival.queue, arrival.message_id, retry)
        arrival.origin.channel.take_back(arrival.origin.tag)
        self._spawn(self._wait(arrival, retry))

    async def _wait(self, arrival: Arrival, retry: Retry) -> None:
        seconds = (retry.due - datetime.now(UTC)).total_seconds()
        await asyncio.sleep(min(max(seconds, 0.0), HELD_AT_MOST))
        if seconds > HELD_AT_MOST:
            with suppress(DeliveryLost):
                arrival.origin.channel.requeue(arrival.origin.tag)
        else:
            self._offer(arrival, retry.envelope, retry.number)
