"""Takes the messages of older bridges from their queues, and puts each as an event into a queue of the site. A message
is acknowledged when RabbitMQ has confirmed its event, so a worker that is killed in between makes a second event of it.

Each of these queues has a connection of its own: what happens to it, such as its deletion, concerns no other queue.
"""

import asyncio
import logging
import os
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel as Engine

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import BROKEN, engine_of, is_open
from bridge.brokers.rabbitmq.connection.errors import error_text
from bridge.brokers.rabbitmq.connection.link import Link
from bridge.brokers.rabbitmq.consuming.classify import FOREIGN_SOURCE, time_of
from bridge.brokers.rabbitmq.publishing.publication import into_queue
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.envelope import Envelope
from bridge.errors import BridgeError, TooLarge
from bridge.event import Event, event_id
from bridge.foreign_messages.source import ForeignSource

PREFETCH = 50

MOST_SET_ASIDE = PREFETCH // 2
"""Messages of one consumer that stay unacknowledged, after which another consumer begins with the whole prefetch."""

AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


class ForeignIntake:
    """Takes the messages of one queue of an older bridge from `start` until `stop`. The queue may come and go: only its
    owner declares it."""

    def __init__(
        self, address: Address, names: Names, queue: str, source: ForeignSource, publisher: RabbitPublisher
    ) -> None:
        self._queue = queue
        self._source = source
        self._publisher = publisher
        self._link = Link(address, self._prepare, _no_repair, names.question, confirms=False)
        self._consumer: tuple[Engine, str] | None = None
        self._set_aside = 0
        self._connecting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._trouble = ""
        self._stopped = False

    def start(self) -> None:
        """Take messages from now on, whenever the queue is there."""
        self._connecting = asyncio.create_task(self._connect())

    async def stop(self) -> None:
        """Take no further message. Those that are in hand become events."""
        self._stopped = True
        with suppress(*BROKEN):
            await self._end_consumer()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=AGAIN_SECONDS)

    async def close(self) -> None:
        """Close the connection. Messages that are no events yet return to their queue."""
        self._stopped = True
        for task in (self._connecting, *self._tasks):
            if task is not None:
                task.cancel()
        await self._link.close()

    async def _connect(self) -> None:
        with suppress(BridgeError):  # the link tries again and again
            await self._link.channel()

    async def _prepare(self, channel: AbstractChannel) -> None:
        if self._stopped:
            return
        engine = await engine_of(channel)
        engine.on_consumer_cancel_callbacks.add(self._ended)
        await engine.basic_qos(prefetch_count=PREFETCH)
        try:
            await self._consume(engine)
        except BROKEN as error:
            self._warn(f"its messages cannot be taken: {error_text(error)}")
            raise
        self._trouble = ""
        log.info("taking the messages of '%s' into the queue %s", self._source.queue, self._queue)

    async def _consume(self, engine: Engine) -> None:
        async def taken(message: DeliveredMessage) -> None:
            self._keep(self._take(engine, message))

        began = await engine.basic_consume(self._source.queue, taken)
        self._consumer, self._set_aside = (engine, str(began.consumer_tag)), 0
        if self._stopped:
            await self._end_consumer()

    async def _end_consumer(self) -> None:
        if self._consumer is not None:
            (engine, tag), self._consumer = self._consumer, None
            await engine.basic_cancel(tag)

    async def _count_set_aside(self, engine: Engine) -> None:
        """Begin another consumer before messages that stay unacknowledged fill the prefetch of this one. They keep to
        the channel, so they are not delivered again."""
        self._set_aside += 1
        if self._set_aside == MOST_SET_ASIDE and not self._stopped:
            try:
                await self._end_consumer()
                await self._consume(engine)
            except BROKEN:
                await self._link.drop()  # the next connection begins with a consumer

    async def _take(self, engine: Engine, message: DeliveredMessage) -> None:
        """Publish the message as an event until RabbitMQ confirms it, then acknowledge the message."""
        publication = into_queue(self._envelope(message), self._queue)
        while is_open(engine):
            try:
                await self._publisher.send(publication)
            except TooLarge as error:  # it stays unacknowledged, and so in its queue
                log.error(  # noqa: TRY400  # the error is an answer of RabbitMQ
                    "queue '%s' of an older bridge: a message cannot become an event, and stays there: %s",
                    *(self._source.queue, error),
                )
                await self._count_set_aside(engine)
                return
            except BridgeError as error:
                self._warn(f"a message cannot become an event: {error}")
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                self._trouble = ""
                with suppress(*BROKEN):
                    await engine.basic_ack(int(message.delivery_tag or 0))
                return

    def _envelope(self, message: DeliveredMessage) -> Envelope:
        now = datetime.now(UTC)
        event = Event(
            id=event_id(now, os.urandom(10)),  # older bridges give their messages no ids
            name=self._source.event,
            source=FOREIGN_SOURCE,
            time=time_of(message.header.properties, now),
            content_type=self._source.content_type,
            data=self._source.data(_properties(message), message.header.properties.headers or {}, bytes(message.body)),
        )
        return Envelope(event, round_began=now)

    def _warn(self, trouble: str) -> None:
        """Log a trouble, unless it is the last one."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("queue '%s' of an older bridge: %s; trying again", self._source.queue, trouble)

    def _ended(self, _: object) -> None:
        """Connect again after RabbitMQ has ended the consumer: the queue was deleted."""
        if not self._stopped:
            self._keep(self._link.drop())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _properties(message: DeliveredMessage) -> dict[str, object]:
    """Return the properties of a message, with those of its delivery, by name."""
    own = {("type" if name == "message_type" else name): value for name, value in message.header.properties}
    stamp = own.get("timestamp")
    delivery = {
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "redelivered": bool(message.redelivered),
    }
    return {**own, **delivery, "timestamp": int(stamp.timestamp()) if isinstance(stamp, datetime) else None}


async def _no_repair() -> None:
    """Do nothing: the owner of the queue declares it."""
