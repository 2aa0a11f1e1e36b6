"""Takes questions on RabbitMQ. The workers of a queue share a queue of its calls, which RabbitMQ deletes with its last
consumer: a call that finds no such queue comes back to its caller.

A question is acknowledged when it is answered. So RabbitMQ gives the questions of a lost worker to another one, which
tells their callers. Nothing there has to survive a restart of RabbitMQ: the queues are durable because RabbitMQ 4
deprecates shared queues that are not.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Engine
from aiormq.exceptions import AMQPConnectionError, ChannelNotFoundEntity
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.client_internals import (
    ignore_delivery,
    read_deliveries,
    socket_has_room,
    write_frames,
)
from bridge.brokers.rabbitmq.connection.connecting import (
    BROKEN,
    MOST_PREFETCH,
    cancelled_by_us_alone,
    engine_of,
    is_open,
)
from bridge.brokers.rabbitmq.connection.delivery_stream import Deliver
from bridge.brokers.rabbitmq.connection.errors import error_text
from bridge.brokers.rabbitmq.connection.link import Link
from bridge.brokers.rabbitmq.topology.names import Names, calls_keys
from bridge.call import Answer, Question, decode_question, encode_answer
from bridge.errors import BridgeError, BrokerUnavailable, UnreadableEnvelope

ANSWER_SECONDS = 5.0
"""Seconds that an answer may wait for the connection."""

LEFT_OVER_SECONDS = 10
"""Seconds after which RabbitMQ deletes a queue that a restart left without a worker."""

TRANSIENT = 1
_CALLER = re.compile(r"[0-9a-f]{32}")

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class RabbitCall:
    """A question, and the channel that it came over last; see the contract."""

    server: "RabbitCallServer"
    question: Question
    queue: str
    may_have_run: bool
    engine: Engine
    tag: int
    reply_to: str
    correlation: str

    async def answer(self, answer: Answer) -> None:
        """Send the answer, and acknowledge the question."""
        await self.server.answer(self, answer)


class RabbitCallServer:
    """Takes questions over one connection, and answers over it; see the contract."""

    def __init__(self, address: Address, names: Names, repair: Callable[[], Awaitable[None]]) -> None:
        self._names = names
        self._link = Link(address, self._prepare, repair, names.question, confirms=False)
        self._queues: tuple[str, ...] = ()
        self._most = 1
        self._ready: asyncio.Queue[RabbitCall] = asyncio.Queue()
        self._engine: Engine | None = None
        self._queue_of: dict[str, str] = {}
        """The queues by the tags of all consumers of the channel, also those that were cancelled."""
        self._consuming: dict[str, str] = {}
        """The tags of the present consumers by routing key."""
        self._moved: set[str] = set()
        """The queues whose second key the next connection uses."""
        self._held: dict[str, RabbitCall] = {}
        """The questions that are not answered yet, by the identity of their publish."""
        self._starting: asyncio.Task[None] | None = None
        self._dropping: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def trouble(self) -> str:
        """The current reason why no questions can be taken."""
        return self._link.trouble

    async def start(self, queues: Sequence[str], most: int) -> None:
        """Serve these queues. RabbitMQ may refuse this worker's calls, and still let it take events."""
        self._queues, self._most = tuple(queues), min(most, MOST_PREFETCH)
        self._starting = asyncio.create_task(self._start(), name="RabbitMQ calls")
        with suppress(BrokerUnavailable):
            await self._link.attempted()

    async def adjust(self, most: int) -> None:
        """Replace the consumers by new ones with this prefetch. Each old one is cancelled after the new one, so that
        its queue is never without a consumer."""
        self._most = min(most, MOST_PREFETCH)
        if self._engine is None or not is_open(self._engine) or self._stopped:
            return  # the next connection has the new prefetch
        with suppress(*BROKEN), cancelled_by_us_alone():
            before = dict(self._consuming)
            await self._engine.basic_qos(prefetch_count=self._most)
            for key, tag in before.items():
                await self._consume(self._engine, self._queue_of[tag], key)
                await self._engine.basic_cancel(tag)

    async def receive(self) -> RabbitCall:
        """Return the next question."""
        return await self._ready.get()

    async def stop(self) -> list[RabbitCall]:
        """Cancel the consumers. RabbitMQ deletes the queues that no other worker consumes."""
        self._stopped = True
        if self._engine is not None and is_open(self._engine):
            with suppress(*BROKEN), cancelled_by_us_alone():
                async with asyncio.timeout(ANSWER_SECONDS):
                    for tag in self._consuming.values():
                        await self._engine.basic_cancel(tag)
        return [self._ready.get_nowait() for _ in range(self._ready.qsize())]

    async def close(self) -> None:
        """Close the connection."""
        self._stopped = True
        if self._starting is not None:
            self._starting.cancel()
        await self._link.close()

    async def answer(self, call: RabbitCall, answer: Answer) -> None:
        """Send the answer over the present connection, and acknowledge the question on the channel that it came over
        last."""
        if _CALLER.fullmatch(call.reply_to):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._send(encode_answer(answer), call)
            except (*BROKEN, BridgeError) as error:
                log.warning("the answer to the call of %r was not sent: %s", call.question.event.name, error)
        self._held.pop(call.correlation, None)
        self._acknowledge(call.engine, call.tag)

    async def _send(self, data: bytes, call: RabbitCall) -> None:
        """Publish an answer, and again if the connection breaks meanwhile: its caller takes the first one."""
        properties = Basic.Properties(delivery_mode=TRANSIENT, correlation_id=call.correlation)
        while True:
            channel = await self._link.channel()
            try:
                with cancelled_by_us_alone():
                    await channel.basic_publish(
                        data, exchange=self._names.answers, routing_key=call.reply_to, properties=properties
                    )
            except BROKEN:
                if is_open(channel):
                    raise
            else:
                return

    def _acknowledge(self, engine: Engine, tag: int) -> None:
        if not is_open(engine):
            return
        if socket_has_room(engine):
            write_frames(engine, [Basic.Ack(tag)])
        else:
            asyncio.get_running_loop().call_later(0.002, self._acknowledge, engine, tag)

    async def _start(self) -> None:
        try:
            await self._link.channel()
        except BridgeError as error:
            if not self._stopped:
                log.error("this worker takes no calls: %s", error)  # noqa: TRY400  # the message says all

    async def _prepare(self, channel: AbstractChannel) -> None:
        """Declare the queues, and consume from them."""
        engine = self._engine = await engine_of(channel)
        self._queue_of, self._consuming = {}, {}
        if self._stopped:
            return
        engine.on_consumer_cancel_callbacks.add(self._cancelled)
        await engine.basic_qos(prefetch_count=self._most)
        read_deliveries(engine, partial(self._take, engine))
        for queue in self._queues:
            key = calls_keys(queue)[queue in self._moved]
            await self._declare(engine, queue, key)
            await self._consume(engine, queue, key)
        self._moved.clear()  # the next connection tries the first keys again

    async def _declare(self, engine: Engine, queue: str, key: str) -> None:
        """Declare the queue of this key. If it lives on a node that is down, let the next connection use the other key:
        RabbitMQ has closed the channel."""
        name = self._names.calls_queue(key)
        arguments: dict[str, Any] = {"x-expires": LEFT_OVER_SECONDS * 1000}
        try:
            await engine.queue_declare(name, durable=True, auto_delete=True, arguments=arguments)
        except ChannelNotFoundEntity as error:
            self._moved ^= {queue}
            raise AMQPConnectionError(error_text(error)) from error
        await engine.queue_bind(name, self._names.calls, key)

    async def _consume(self, engine: Engine, queue: str, key: str) -> None:
        tag = f"calls.{key}.{len(self._queue_of)}"
        self._queue_of[tag] = queue
        await engine.basic_consume(self._names.calls_queue(key), ignore_delivery, consumer_tag=tag)
        self._consuming[key] = tag

    def _take(self, engine: Engine, method: Deliver, properties: Basic.Properties, body: bytes) -> None:
        tag = method.delivery_tag
        try:
            question = decode_question(body)
        except UnreadableEnvelope as error:
            log.warning("dropping a call that cannot be read: %s", error)
            self._acknowledge(engine, tag)
            return
        correlation = properties.correlation_id or ""
        held = self._held.get(correlation)
        if held is not None and method.redelivered:  # after a reconnect, and no other worker had it meanwhile
            held.engine, held.tag = engine, tag
            return
        queue, reply_to = self._queue_of[method.consumer_tag], properties.reply_to or ""
        call = RabbitCall(self, question, queue, method.redelivered, engine, tag, reply_to, correlation)
        self._held[correlation] = call
        self._ready.put_nowait(call)

    def _cancelled(self, _: object) -> None:
        """Reconnect after a queue was deleted: the new connection declares it again."""
        self._dropping = asyncio.create_task(self._link.drop())
