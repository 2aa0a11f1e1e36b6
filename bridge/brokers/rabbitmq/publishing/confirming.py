"""A channel that publishes with confirms: writes each message without a task of its own, and calls back with RabbitMQ's
answer. Knows no events.
"""

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from aiormq.channel import Channel as Engine
from aiormq.exceptions import AMQPConnectionError, AMQPError, ChannelInvalidStateError

from bridge.brokers.rabbitmq.connection.client_internals import frame_max
from bridge.brokers.rabbitmq.connection.confirms import Confirm, Confirms
from bridge.brokers.rabbitmq.connection.connecting import BROKEN, is_open
from bridge.brokers.rabbitmq.connection.publishing_internals import Outgoing, read_confirms
from bridge.brokers.rabbitmq.publishing.frames import Properties, publish_frames

LARGE_BODY = 64 * 1024
"""Bytes from which a publish waits until the socket has taken it, so that many of them do not pile up in memory."""

ROOM_AGAIN = 0.002
"""Seconds between two looks whether the connection's writer takes messages again."""


class Returned(AMQPError):
    """No queue takes the message."""


class Nacked(AMQPError):
    """RabbitMQ, or a queue, rejected the message."""


Answered = Callable[[Exception | None], None]
"""Is called once with the answer to a publish: None for a confirm, `Returned`, `Nacked`, or the error of the channel,
which closed before the answer."""


class ConfirmingChannel:
    """An open channel in confirm mode. Nothing else may publish on it, because RabbitMQ counts the messages."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._frame_max = frame_max(engine)
        self._outgoing = Outgoing(engine)
        self._unanswered: dict[int, Answered] = {}
        """By RabbitMQ's number of the publish, in order."""
        self._written = 0
        self._identity = uuid.uuid4().hex
        self._one_large = asyncio.Lock()
        read_confirms(engine, Confirms(self._confirmed, self._returned))
        engine.closing.add_done_callback(self._lost)

    @property
    def is_open(self) -> bool:
        """True if the channel and its connection are open."""
        return is_open(self.engine)

    @property
    def has_room(self) -> bool:
        """True if `write` may be called now on a channel that is open."""
        return self._outgoing.has_room

    def write(self, exchange: str, routing_key: str, properties: Properties, body: bytes, answered: Answered) -> None:
        """Publish without waiting. What is written in one turn of the loop is sent together. Raise `asyncio.QueueFull`,
        with nothing written, unless it `has_room`: a number for a message that is not sent would shift all answers."""
        if not self.has_room:
            raise asyncio.QueueFull
        self._outgoing.add(self._numbered(exchange, routing_key, properties, body, answered))

    async def publish(self, exchange: str, routing_key: str, properties: Properties, body: bytes) -> None:
        """Publish, and return when RabbitMQ has confirmed. Raise the error of the answer."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        message = (exchange, routing_key, properties, body, partial(_settle, answer))
        try:
            if len(body) < LARGE_BODY:
                await self._room()
                self.write(*message)
            else:
                async with self._one_large:
                    await self._room()
                    await self._outgoing.drained(self._numbered(*message))
            await answer
        finally:
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # retrieved, in case the socket was lost first

    async def _room(self) -> None:
        while not (self.is_open and self.has_room):
            if not self.is_open:
                raise ChannelInvalidStateError("the channel is closed")
            await asyncio.sleep(ROOM_AGAIN)

    def _numbered(
        self, exchange: str, routing_key: str, properties: Properties, body: bytes, answered: Answered
    ) -> bytes:
        """Return the frames of the next publish. They must be sent in this order."""
        number = self._written + 1
        # RabbitMQ returns a message with its id, and not with its number. The id differs for each publish.
        identity = f"{self._identity}{number}"
        frames = publish_frames(self.engine.number, exchange, routing_key, properties, identity, body, self._frame_max)
        self._written = number
        self._unanswered[number] = answered
        return frames

    def _confirmed(self, confirm: Confirm) -> None:
        error = None if confirm.ack else Nacked("RabbitMQ rejected it")
        for number in self._numbers(confirm):
            answered = self._unanswered.pop(number, None)
            if answered is not None:  # a message that came back is answered already
                answered(error)

    def _numbers(self, confirm: Confirm) -> list[int]:
        """Return the numbers of the answered publishes."""
        last = confirm.number or self._written  # in AMQP, 0 stands for all
        if not confirm.multiple:
            return [last]
        numbers = []
        for number in self._unanswered:
            if number > last:
                break
            numbers.append(number)
        return numbers

    def _returned(self, identity: str) -> None:
        if identity.startswith(self._identity):
            answered = self._unanswered.pop(int(identity[len(self._identity) :]), None)
            if answered is not None:
                answered(Returned("no queue takes it"))

    def _lost(self, closing: "asyncio.Future[Any]") -> None:
        cause = None if closing.cancelled() else closing.exception()
        error = cause if isinstance(cause, BROKEN) else AMQPConnectionError("the connection broke")
        unanswered, self._unanswered = self._unanswered, {}
        for answered in unanswered.values():
            answered(error)


def _settle(answer: "asyncio.Future[None]", error: Exception | None) -> None:
    if answer.done():
        return  # the task that awaited it was cancelled
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
