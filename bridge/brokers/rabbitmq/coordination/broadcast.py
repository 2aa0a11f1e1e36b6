"""Broadcasts on RabbitMQ: an exchange, and an exclusive queue for each listener. A process that asks listens to the
answers in the same way. (Direct reply-to would need the permission to publish to RabbitMQ's default exchange, and so to
every queue of the virtual host.)
"""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel as Engine
from pamqp.commands import Basic

from bridge.brokers.any_broker.answers import Answers
from bridge.brokers.any_broker.listener_inbox import ListenerInbox
from bridge.brokers.contract.broadcast import Complete, Listener
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import BROKEN, cancelled_by_us_alone, engine_of
from bridge.brokers.rabbitmq.connection.link import Link
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import BrokerUnavailable
from bridge.logs import Content, decode_record, encode_record

TELL_SECONDS = 5.0
ANSWER_SECONDS = 5.0
MOST_WAITING = 1000
"""Messages that RabbitMQ keeps for a slow listener; it drops the oldest ones."""

_ANSWERS = re.compile(r"answers\.[0-9a-f]{32}")
"""The routing key of the answers to one process, which is in the `reply_to` of its questions."""

Repair = Callable[[], Awaitable[None]]
Arrived = Callable[[Engine, DeliveredMessage], Coroutine[Any, Any, None]]


class RabbitBroadcast:
    """The messages of one subject; see the contract. One connection tells, one asks, and each `listen` has its own."""

    def __init__(self, address: Address, names: Names, subject: str, repair: Repair) -> None:
        self._address = address
        self._names = names
        self._subject = subject
        self._repair = repair
        self._telling = Link(address, _no_preparation, repair, names.question, confirms=False)
        self._reply_to = f"answers.{uuid.uuid4().hex}"
        self._asking = self._receiving(self._reply_to, self._answered)
        self._answers: dict[str, Answers] = {}

    @asynccontextmanager
    async def listen(self, listener: Listener) -> AsyncIterator[None]:
        """Call the listener with each message."""
        inbox = ListenerInbox(self._subject, listener)

        async def arrived(engine: Engine, message: DeliveredMessage) -> None:
            properties = message.header.properties
            reply_to = properties.reply_to or ""
            # A publisher may write any subject there: answers go to an asker only.
            answer = partial(_answer, engine, self._names.broadcast, reply_to, properties.correlation_id)
            inbox.take(message.body, answer if _ANSWERS.fullmatch(reply_to) else None)

        link = self._receiving(self._subject, arrived)
        running = asyncio.create_task(inbox.run(), name=f"broadcast {self._subject}")
        try:
            await link.channel()
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})
            await link.close()

    async def tell(self, content: Content) -> None:
        """Send a message to all listeners."""
        await self._send(self._telling, encode_record(content), Basic.Properties())

    async def ask_all(
        self, question: Content, within: float, complete: Complete | None = None, patience: float = 0.0
    ) -> list[Content]:
        """Send a question to all listeners, and return the answers that arrive in time."""
        identity, loop = uuid.uuid4().hex, asyncio.get_running_loop()
        answers = self._answers[identity] = Answers()
        try:
            expires = str(round((within + patience) * 1000))  # nobody waits for a later answer
            properties = Basic.Properties(reply_to=self._reply_to, correlation_id=identity, expiration=expires)
            await self._send(self._asking, encode_record(question), properties)
            until = loop.time() + within + patience
            await asyncio.sleep(within)
            if complete is not None:
                await answers.completed(complete, until)
        finally:
            del self._answers[identity]
        return answers.arrived

    async def close(self) -> None:
        """Close the connections that tell and ask."""
        await asyncio.gather(self._telling.close(), self._asking.close())

    def _receiving(self, key: str, arrived: Arrived) -> Link:
        queue = _OwnQueue(self._names, key, arrived)
        link = queue.link = Link(self._address, queue.prepare, self._repair, self._names.question, confirms=False)
        return link

    async def _send(self, link: Link, data: bytes, properties: Basic.Properties) -> None:
        try:
            async with asyncio.timeout(TELL_SECONDS):
                channel = await link.channel()
                with cancelled_by_us_alone():
                    await channel.basic_publish(
                        data,
                        exchange=self._names.broadcast,
                        routing_key=self._subject,
                        properties=properties,
                    )
        except BROKEN as error:
            why = f"not sent within {TELL_SECONDS:g} s: {str(error) or link.trouble}"
            raise BrokerUnavailable(f"RabbitMQ at {self._address}: {why}") from error

    async def _answered(self, engine: Engine, message: DeliveredMessage) -> None:
        answers = self._answers.get(message.header.properties.correlation_id or "")
        content = decode_record(message.body)
        if answers is not None and content is not None:
            answers.add(content)


class _OwnQueue:
    """An exclusive queue for the messages with one routing key. It is declared on each new connection of its link."""

    link: Link

    def __init__(self, names: Names, key: str, arrived: Arrived) -> None:
        self._names = names
        self._key = key
        self._arrived = arrived
        self._dropping: asyncio.Task[None] | None = None

    async def prepare(self, channel: AbstractChannel) -> None:
        """Declare the queue, and consume from it."""
        name = self._names.listener(uuid.uuid4().hex)
        engine = await engine_of(channel)
        engine.on_consumer_cancel_callbacks.add(self._cancelled)
        await engine.queue_declare(name, exclusive=True, auto_delete=True, arguments={"x-max-length": MOST_WAITING})
        await engine.queue_bind(name, self._names.broadcast, self._key)
        await engine.basic_consume(name, partial(self._arrived, engine), no_ack=True)

    def _cancelled(self, _: object) -> None:
        """Reconnect after an operator deleted the queue: the new connection declares another one."""
        self._dropping = asyncio.create_task(self.link.drop())


async def _no_preparation(channel: AbstractChannel) -> None:
    """Do nothing: a channel that only tells needs no preparation."""


async def _answer(engine: Engine, exchange: str, reply_to: str, question: str | None, data: bytes) -> None:
    properties = Basic.Properties(correlation_id=question)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            with cancelled_by_us_alone():
                await engine.basic_publish(data, exchange=exchange, routing_key=reply_to, properties=properties)
    except BROKEN as error:
        raise BrokerUnavailable(f"an answer was not sent: {error}") from error
