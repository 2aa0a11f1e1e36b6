"""Asks questions on RabbitMQ. Each process that asks has an exclusive queue for its answers. (For direct reply-to,
workers would need the permission to publish to RabbitMQ's default exchange, and so to every queue of the virtual host.)
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel as Engine
from aiormq.exceptions import ChannelAccessRefused, DeliveryError, PublishError
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import BROKEN, cancelled_by_us_alone, engine_of
from bridge.brokers.rabbitmq.connection.errors import error_text
from bridge.brokers.rabbitmq.connection.link import Link
from bridge.brokers.rabbitmq.topology.names import Names, calls_keys
from bridge.call import Answer, Question, decode_answer, encode_question
from bridge.deadline import Deadline
from bridge.errors import (
    BrokerRefused,
    BrokerUnavailable,
    CallError,
    CallLost,
    CallTimedOut,
    CallUnavailable,
    NobodyServes,
    UnreadableEnvelope,
)

TRANSIENT = 1


class RabbitCaller:
    """Asks over one connection, which has the queue of the answers too; see the contract."""

    def __init__(self, address: Address, names: Names, repair: Callable[[], Awaitable[None]]) -> None:
        self._address = address
        self._names = names
        self._link = Link(address, self._prepare, repair, names.question, confirms=True)
        self._reply_to = ""
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        """The answers that are awaited, by the identity of the publish."""
        self._dropping: asyncio.Task[None] | None = None

    async def ask(self, question: Question, queues: Sequence[str], deadline: Deadline) -> Answer:
        """Send the question to one worker, and return its answer."""
        data = encode_question(question)
        identity, sent = uuid.uuid4().hex, False
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())):
                for key in (key for queue in queues for key in calls_keys(queue)):
                    channel = await self._link.channel()
                    answer = self._await(identity)
                    sent = True
                    if await self._sent(channel, key, data, identity, deadline):
                        return await answer
                    sent = False
        except TimeoutError:
            raise self._out_of_time(question, sent) from None
        except (BrokerRefused, BrokerUnavailable) as error:
            raise CallUnavailable(f"the call of {question.event.name!r} was not made: {error}") from error
        finally:
            self._waiting.pop(identity, None)
        raise NobodyServes(
            f"no worker takes calls of {question.event.name!r} now: none on {self._address} serves "
            f"{' or '.join(queues) or 'a queue for it'}"
        )

    async def close(self) -> None:
        """Close the connection."""
        self._lose("this process has closed the connection to RabbitMQ")
        await self._link.close()

    def _await(self, identity: str) -> asyncio.Future[Answer]:
        self._waiting[identity] = answer = asyncio.get_running_loop().create_future()
        return answer

    async def _prepare(self, channel: AbstractChannel) -> None:
        """Declare the queue of the answers under a new name: the answers to questions of before cannot come."""
        self._lose("the connection to RabbitMQ broke")
        identity = uuid.uuid4().hex
        engine = await engine_of(channel)
        engine.closing.add_done_callback(self._closed)
        engine.on_consumer_cancel_callbacks.add(self._cancelled)
        queue = self._names.answers_queue(identity)
        await engine.queue_declare(queue, exclusive=True, auto_delete=True)
        await engine.queue_bind(queue, self._names.answers, identity)
        await engine.basic_consume(queue, self._answered, no_ack=True)
        self._reply_to = identity

    async def _sent(self, channel: Engine, key: str, data: bytes, identity: str, deadline: Deadline) -> bool:
        """Send the question with a routing key. Return False if no worker takes it."""
        remaining = deadline.remaining(time.monotonic())
        properties = Basic.Properties(
            delivery_mode=TRANSIENT,
            correlation_id=identity,
            reply_to=self._reply_to,
            expiration=str(max(round(remaining * 1000), 1)),
        )
        try:
            with cancelled_by_us_alone():
                await channel.basic_publish(
                    data, exchange=self._names.calls, routing_key=key, properties=properties, mandatory=True
                )
        except PublishError:
            return False
        except DeliveryError as error:
            raise CallUnavailable(f"RabbitMQ does not take the call: {error_text(error)}") from error
        except ChannelAccessRefused as error:
            raise BrokerRefused(error_text(error)) from error
        except BROKEN as error:
            raise CallLost(f"the connection to RabbitMQ broke: {error_text(error)}; the call may have run") from error
        return True

    async def _answered(self, message: DeliveredMessage) -> None:
        waiting = self._waiting.get(message.header.properties.correlation_id or "")
        if waiting is None or waiting.done():
            return  # its caller has given up
        try:
            waiting.set_result(decode_answer(message.body))
        except UnreadableEnvelope as error:
            waiting.set_exception(CallError(f"the answer cannot be read: {error}"))

    def _closed(self, closing: "asyncio.Future[Any]") -> None:
        if not closing.cancelled():
            closing.exception()  # retrieved: the link reports it
        self._lose("the connection to RabbitMQ broke")

    def _cancelled(self, _: object) -> None:
        """Reconnect after the queue of the answers was deleted: the new connection declares another one."""
        self._dropping = asyncio.create_task(self._link.drop())

    def _lose(self, why: str) -> None:
        """Tell the callers that wait that no answer can come."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(CallLost(f"{why} before the answer came; the call may have run"))
                waiting.exception()  # retrieved, in case its caller has just given up

    def _out_of_time(self, question: Question, sent: bool) -> CallError:
        name, within = question.event.name, f"within {question.timeout:g} s"
        if sent:
            return CallTimedOut(f"no answer to the call of {name!r} {within}")
        return CallUnavailable(f"the call of {name!r} could not be made {within}; nothing ran: {self._link.trouble}")
