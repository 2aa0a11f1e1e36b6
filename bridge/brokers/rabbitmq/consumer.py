"""Takes deliveries from RabbitMQ's queues and comes back after every break. Settles by itself what is no event."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

from aio_pika.abc import AbstractChannel
from pamqp.commands import Basic

from bridge.brokers.contract import Backlog
from bridge.brokers.rabbitmq.address import Address
from bridge.brokers.rabbitmq.arrival import Arrived, Bury, HandOut, PutBack, judge
from bridge.brokers.rabbitmq.connection import BROKEN, cancelled_by_us_alone, engine_of
from bridge.brokers.rabbitmq.delivery import Held, RabbitDelivery
from bridge.brokers.rabbitmq.intake import take_in
from bridge.brokers.rabbitmq.ladder import LEVELS
from bridge.brokers.rabbitmq.link import Link
from bridge.brokers.rabbitmq.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.session import Session
from bridge.brokers.rabbitmq.subscriptions import Subscriptions
from bridge.brokers.rabbitmq.topology import Names, message_count
from bridge.errors import BridgeError, BrokerUnavailable, DeferError, DeliveryLost
from bridge.queues import Queue

ASK_SECONDS = 5.0
STOP_SECONDS = 2.0
REPLACE_AGAIN_SECONDS = 1.0

CONSUMER_TIMEOUT = timedelta(minutes=30)
"""RabbitMQ's default: whoever holds a delivery for so long loses it, and all others of its channel. AMQP does not tell
what a server has set in its place."""

log = logging.getLogger(__name__)


class RabbitConsumer:
    """A consumer with a connection of its own, and a publisher with another: RabbitMQ stops reading from connections
    that publish when it runs short of memory, and acknowledgements must come through."""

    def __init__(
        self, address: Address, names: Names, repair: Callable[[], Awaitable[None]], declared: Mapping[str, Queue]
    ) -> None:
        self._names = names
        self._declared = declared
        self._repair = repair
        self._publisher = RabbitPublisher(address, names, declared, repair)
        self._link = Link(address, self._prepare, repair, confirms=False)
        self._prefetch: dict[str, int] = {}
        self._channel: AbstractChannel | None = None
        self._subscriptions: Subscriptions | None = None
        self._buffer: deque[RabbitDelivery] = deque()
        self._arrival = asyncio.Event()
        self._aside: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[Mapping[str, Backlog]] | None = None
        self._stopped = False

    @property
    def live(self) -> frozenset[str]:
        """The queues that it takes from now."""
        subscriptions = self._subscriptions
        taking = subscriptions is not None and not self._stopped and not subscriptions.session.lost
        return subscriptions.queues if subscriptions is not None and taking else frozenset()

    @property
    def trouble(self) -> str:
        """What keeps it from taking, or from settling."""
        return self._link.trouble or self._publisher.trouble

    async def start(self, prefetch: Mapping[str, int]) -> None:
        """Begin to take from these queues; wait for a broker that is away. Raise `BrokerRefused`."""
        self._prefetch = dict(prefetch)
        self._warn_of_long_deadlines()
        await self._link.channel()

    async def adjust(self, prefetch: Mapping[str, int]) -> None:
        """From now on, hold at most so many of each queue; see the contract."""
        self._prefetch.update(prefetch)
        if self._subscriptions is not None:
            await asyncio.shield(self._spawn(self._follow(self._subscriptions)))

    async def receive(self) -> RabbitDelivery:
        """Return the next delivery; wait for one."""
        while True:
            while self._buffer:
                delivery = self._buffer.popleft()
                if not delivery.lost:
                    return delivery
            self._arrival.clear()
            await self._arrival.wait()

    async def stop(self) -> None:
        """Take nothing more, and give back what was fetched and not handed out."""
        if self._stopped:
            return
        self._stopped = True
        if self._subscriptions is not None:
            # Not cut off where RabbitMQ takes longer, which would end the channel, and with it all that is held.
            await asyncio.wait({self._spawn(self._end(self._subscriptions))}, timeout=STOP_SECONDS)
        self._give_back(list(self._buffer))

    async def backlog(self) -> Mapping[str, Backlog]:
        """Return what each queue holds; see the contract. Raise `BrokerUnavailable`."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        # Shielded, for the same reason as above.
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await asyncio.shield(self._asking)
        except BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ does not say what its queues hold: {error}") from error

    async def _ask(self) -> Mapping[str, Backlog]:
        with cancelled_by_us_alone():
            return await self._count()

    async def _count(self) -> Mapping[str, Backlog]:
        await self._link.channel()
        channel = cast(AbstractChannel, self._channel)
        queues = {*self._declared, *self._prefetch}
        ready = {queue: await message_count(channel, self._names.queue(queue)) for queue in queues}
        waiting = sum([await message_count(channel, self._names.delay(level)) for level in range(LEVELS)])
        # What left a queue before it was counted was sent to this channel before the last answer, and is held by now.
        held = self._subscriptions.session.window.held() if self._subscriptions is not None else {}
        return {queue: Backlog(ready[queue], held.get(queue, 0), waiting) for queue in queues}

    async def close(self) -> None:
        """Close it, within some 2 s; what is not settled is delivered again, to anyone."""
        self._stopped = True
        for task in (*self._aside, self._asking):
            if task is not None:
                task.cancel()
        if self._subscriptions is not None:
            self._subscriptions.session.flush()
        await asyncio.gather(self._link.close(), self._publisher.close())

    def _warn_of_long_deadlines(self) -> None:
        for name in self._prefetch.keys() & self._declared.keys():
            if (deadline := self._declared[name].deadline) >= CONSUMER_TIMEOUT:
                log.warning(
                    "queue %s: a replay may last %s, and RabbitMQ gives away what is held for longer than its "
                    "consumer_timeout, %s where rabbitmq.conf does not say otherwise",
                    *(name, deadline, CONSUMER_TIMEOUT),
                )

    async def _prepare(self, channel: AbstractChannel) -> None:
        engine = await engine_of(channel)
        subscriptions = Subscriptions(Session(engine, lambda: not self._buffer), self._names)
        engine.on_consumer_cancel_callbacks.add(partial(self._cancelled_by_broker, subscriptions))
        take_in(engine, partial(self._arrived, subscriptions))
        for queue, prefetch in tuple(self._prefetch.items()):
            if not self._stopped:
                await subscriptions.hold(queue, prefetch)
        self._channel, self._subscriptions = channel, subscriptions
        if self._stopped:
            await self._end(subscriptions)

    async def _end(self, subscriptions: Subscriptions) -> None:
        """Take nothing more by these, and give back what they brought meanwhile."""
        with suppress(*BROKEN), cancelled_by_us_alone():
            await subscriptions.end()
        self._give_back(list(self._buffer))

    async def _follow(self, subscriptions: Subscriptions) -> None:
        """Hold what is to be held now. What fails means a broken connection: the next one begins with it."""
        try:
            for queue, prefetch in tuple(self._prefetch.items()):
                if not self._stopped:
                    with cancelled_by_us_alone():
                        ended = await subscriptions.hold(queue, prefetch)
                    self._give_back([delivery for delivery in self._buffer if delivery.subscription in ended])
        except BROKEN as error:
            if not subscriptions.session.lost:  # else there is, or will be, another connection, which is not to blame
                log.warning("RabbitMQ cannot be told how much to deliver: %s; connecting again", error)
                await self._link.drop()

    def _give_back(self, deliveries: list[RabbitDelivery]) -> None:
        """Give back what was fetched and not handed out."""
        for delivery in deliveries:
            self._buffer.remove(delivery)
            if not delivery.lost:
                delivery.return_now()

    def _arrived(
        self, subscriptions: Subscriptions, deliver: Basic.Deliver, properties: Basic.Properties, body: bytes
    ) -> None:
        tag, subscription = int(deliver.delivery_tag or 0), str(deliver.consumer_tag)
        session, queue = subscriptions.session, subscriptions.queue_of(subscription)
        session.window.arrived(tag, queue)
        routing_key = str(deliver.routing_key)
        match judge(Arrived(queue, routing_key, properties, body, datetime.now(UTC), os.urandom(10))):
            case HandOut(envelope=envelope):
                token = f"{queue}:{properties.message_id}"
                held = Held(tag, subscription, session)
                self._buffer.append(
                    RabbitDelivery(envelope, queue, token, bool(deliver.redelivered), held, self._publisher)
                )
                self._arrival.set()
            case PutBack(envelope=envelope, due=due):
                wait = timedelta() if due is None else due - datetime.now(UTC)
                put = partial(self._publisher.put_after, envelope, queue, wait, exact=True)
                self._spawn(self._replace(put, session, tag))
            case Bury(letter=letter):
                log.warning("a message in queue %s goes to the ledger: %s", queue, letter.error.message)
                self._spawn(self._replace(partial(self._publisher.bury, letter), session, tag))

    async def _replace(self, publish: Callable[[], Awaitable[None]], session: Session, tag: int) -> None:
        """Publish what takes the place of a message, however often that fails, then acknowledge the message. One that
        meets a defect of ours goes back: after so many deliveries RabbitMQ gives it to the ledger."""
        while not session.lost:
            try:
                await publish()
            except DeferError as error:
                log.warning("RabbitMQ does not take what replaces a message, which is held: %s", error)
                await asyncio.sleep(REPLACE_AGAIN_SECONDS)
            except Exception:  # held for ever, it would take a place for ever
                log.exception("a defect met a message; it goes back")
                await asyncio.sleep(REPLACE_AGAIN_SECONDS)
                with suppress(DeliveryLost):
                    session.give_back(tag)
                return
            else:
                session.ack_replaced(tag)
                return

    def _cancelled_by_broker(self, subscriptions: Subscriptions, cancel: Basic.Cancel) -> None:
        """A queue was deleted, or lost its leader."""
        queue = subscriptions.forget(str(cancel.consumer_tag))
        log.warning("RabbitMQ has ended the consumer of queue %s; declaring it again", queue)
        if not self._stopped:
            self._spawn(self._subscribe_again(subscriptions))

    async def _subscribe_again(self, subscriptions: Subscriptions) -> None:
        try:
            await self._repair()
        except BridgeError as error:
            if not subscriptions.session.lost:
                log.warning("the queues cannot be declared: %s; connecting again", error)
                await self._link.drop()
            return
        await self._follow(subscriptions)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        return task
