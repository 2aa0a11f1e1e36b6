"""Takes deliveries from RabbitMQ's queues, and reconnects after every break. Settles messages that are no events."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, cast

from aio_pika.abc import AbstractChannel
from pamqp.commands import Basic

from bridge.brokers.any_broker.hand import Hand, lane_prefetch
from bridge.brokers.any_broker.record_log import RecordLog
from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.client_internals import read_deliveries
from bridge.brokers.rabbitmq.connection.connecting import BROKEN, MOST_PREFETCH, cancelled_by_us_alone, engine_of
from bridge.brokers.rabbitmq.connection.delivery_stream import Deliver
from bridge.brokers.rabbitmq.connection.link import Link
from bridge.brokers.rabbitmq.consuming.classify import Bury, HandOut, PutBack, ReceivedMessage, classify
from bridge.brokers.rabbitmq.consuming.consumer_channel import ConsumerChannel
from bridge.brokers.rabbitmq.consuming.counting import counts_of
from bridge.brokers.rabbitmq.consuming.delivery import Origin, RabbitDelivery
from bridge.brokers.rabbitmq.consuming.foreign_intakes import ForeignIntakes
from bridge.brokers.rabbitmq.consuming.heads import Heads
from bridge.brokers.rabbitmq.consuming.ordered import Arrival, OrderedQueues
from bridge.brokers.rabbitmq.consuming.replacing import Replacing, set_aside
from bridge.brokers.rabbitmq.consuming.stalls import watch_for_stalls
from bridge.brokers.rabbitmq.consuming.subscriptions import Lane, Subscriptions
from bridge.brokers.rabbitmq.publishing.publication import dead_letter, put_back
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.topology.declaring import message_counts
from bridge.brokers.rabbitmq.topology.names import LANES, Names
from bridge.errors import BridgeError, BrokerUnavailable
from bridge.handling import Priority
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.queues import Queue, priority_of

ASK_SECONDS = 5.0
STOP_SECONDS = 2.0

CONSUMER_TIMEOUT = timedelta(minutes=30)
"""RabbitMQ's default `consumer_timeout`: a consumer that holds a delivery for longer loses its channel with all
deliveries. AMQP does not report the value that a server is configured with."""

log = logging.getLogger(__name__)


def _randomness() -> bytes:
    return os.urandom(10)


class RabbitConsumer:
    """A consumer with a connection of its own, and a publisher with others. When RabbitMQ runs short of memory, it
    stops reading from connections that publish, and acknowledgements must still reach it."""

    def __init__(
        self,
        address: Address,
        names: Names,
        repair: Callable[[], Awaitable[None]],
        declared: Mapping[str, Queue],
        heads: Callable[[], RecordLog],
        keys: LedgerKeys = NO_KEYS,
    ) -> None:
        self._names = names
        self._declared = declared
        self._repair = repair
        self._publisher = RabbitPublisher(address, names, declared, repair, keys)
        self._replacing = Replacing(self._publisher)
        self._ordered = OrderedQueues(Heads(heads), self._publisher, self._hand_out, self._withdraw, self._spawn)
        self._link = Link(address, self._prepare, repair, names.question, confirms=False)
        self._foreign = ForeignIntakes(address, names, declared, self._publisher)
        self._prefetch: dict[str, int] = {}
        self._channel: AbstractChannel | None = None
        self._subscriptions: Subscriptions | None = None
        self._hand = Hand[RabbitDelivery](declared, self._prefetch)
        self._contended: set[str] = set()
        self._routes_by_name = lru_cache(names.routes_by_name)
        self._arrival = asyncio.Event()
        self._aside: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[Mapping[str, Backlog]] | None = None
        self._stopped = False
        self.breaks = 0
        """How often another connection has taken the place of the present one."""

    @property
    def live(self) -> frozenset[str]:
        """The queues from which events are taken now, and those of which none should be taken (a prefetch of 0)."""
        subscriptions = self._subscriptions
        if subscriptions is None or self._stopped or subscriptions.channel.lost:
            return frozenset()
        taking, none = subscriptions.lanes, [queue for queue, most in self._prefetch.items() if most <= 0]
        return frozenset({*none, *(queue for queue in self._prefetch if taking.issuperset(self._lanes(queue)))})

    @property
    def trouble(self) -> str:
        """The reason why events cannot be taken or settled, for people; empty if there is none."""
        return self._link.trouble or self._publisher.trouble or self._replacing.trouble

    @property
    def held(self) -> Mapping[str, int]:
        """The unsettled deliveries of each queue on the present connection."""
        return self._subscriptions.channel.unacked.by_queue() if self._subscriptions is not None else {}

    async def start(self, prefetch: Mapping[str, int]) -> None:
        """Start to take events; see the contract. Wait while the broker is unreachable. Raise `BrokerRefused`."""
        self._prefetch.update(prefetch)
        self._warn_of_long_deadlines()
        await self._link.channel()
        self._foreign.start(prefetch)
        self._spawn(watch_for_stalls(self._watched, self._stands_by, self._ready_in, self._link.drop))

    async def adjust(self, prefetch: Mapping[str, int]) -> None:
        """Change how many deliveries of each queue are held at most; see the contract."""
        self._prefetch.update(prefetch)
        self._arrival.set()  # a delivery that was held because of the former numbers may be handed out
        if self._subscriptions is not None:
            await asyncio.shield(self._spawn(self._follow(self._subscriptions)))

    async def receive(self) -> RabbitDelivery:
        """Return the next delivery; wait for one."""
        while True:
            handed_out = self._subscriptions.channel.handed_out if self._subscriptions is not None else {}
            while (delivery := self._hand.next(handed_out)) is not None:
                if not delivery.lost:
                    delivery.hand_out()
                    return delivery
            self._arrival.clear()
            await self._arrival.wait()

    async def stop(self) -> None:
        """Stop taking events, and return deliveries that were not handed out to their queues."""
        if self._stopped:
            return
        self._stopped = True
        await self._foreign.stop()
        if self._subscriptions is not None:
            # Not cancelled if RabbitMQ takes longer: that would close the channel and lose all held deliveries.
            await asyncio.wait({self._spawn(self._end(self._subscriptions))}, timeout=STOP_SECONDS)
        self._give_back_all()

    async def backlog(self) -> Mapping[str, Backlog]:
        """Return the counts of each queue; see the contract. Raise `BrokerUnavailable`."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        # Shielded, because cancelling it would close the channel and lose all held deliveries.
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await asyncio.shield(self._asking)
        except BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ does not report the counts of its queues: {error}") from error

    async def _ask(self) -> Mapping[str, Backlog]:
        with cancelled_by_us_alone():
            return await self._count()

    async def _count(self) -> Mapping[str, Backlog]:
        await self._link.channel()
        channel = cast(AbstractChannel, self._channel)
        lanes = [lane for queue in {*self._declared, *self._prefetch} for lane in self._lanes(queue)]
        counts = await counts_of(channel, self._names, lanes)
        # An event that left a queue before the count was sent to this channel before the last answer, so it is held.
        return counts.backlogs(self.held)

    async def close(self) -> None:
        """Close the connections within some 2 s. RabbitMQ delivers unsettled events again, to any consumer."""
        self._stopped = True
        for task in (*self._aside, self._asking):
            if task is not None:
                task.cancel()
        if self._subscriptions is not None:
            self._subscriptions.channel.flush()
        await asyncio.gather(self._link.close(), self._foreign.close())
        await self._publisher.close()

    def _watched(self) -> Subscriptions | None:
        subscriptions = self._subscriptions
        return None if subscriptions is None or self._stopped or subscriptions.channel.lost else subscriptions

    def _stands_by(self, lane: Lane) -> bool:
        """Return whether RabbitMQ may be delivering this lane to another worker alone. The worker that it has chosen
        stays chosen until its consumer ends."""
        subscriptions = self._subscriptions
        return self._is_ordered(lane.queue) and subscriptions is not None and not subscriptions.has_brought(lane)

    async def _ready_in(self, lanes: Sequence[Lane]) -> Sequence[int]:
        return await message_counts(cast(AbstractChannel, self._channel), [self._names.queue(*lane) for lane in lanes])

    def _lanes(self, queue: str) -> list[Lane]:
        return [Lane(queue, priority) for priority in (LANES[:1] if self._is_ordered(queue) else LANES)]

    def _is_ordered(self, queue: str) -> bool:
        return queue in self._declared and self._declared[queue].ordered

    def _most(self, lane: Lane) -> int:
        """Return how many deliveries of a lane to hold. The consumer of an ordered queue does not end before its
        connection, also if nothing is to be handed out."""
        if self._is_ordered(lane.queue):
            return 1
        contended = lane.priority is not Priority.NORMAL or lane.queue in self._contended
        return min(lane_prefetch(self._prefetch[lane.queue], contended=contended), MOST_PREFETCH)

    def _held_at_most(self, queue: str) -> int:
        return 1 if self._is_ordered(queue) else self._prefetch.get(queue, 0)

    def _warn_of_long_deadlines(self) -> None:
        for name in self._prefetch.keys() & self._declared.keys():
            if (deadline := self._declared[name].longest) >= CONSUMER_TIMEOUT:
                log.warning(
                    "queue %s: a replay may last %s, but RabbitMQ takes back deliveries that are held for longer than "
                    "its consumer_timeout, %s unless rabbitmq.conf sets it",
                    *(name, deadline, CONSUMER_TIMEOUT),
                )

    async def _prepare(self, channel: AbstractChannel) -> None:
        engine = await engine_of(channel)
        consuming = ConsumerChannel(engine, lambda: bool(self._hand), self._held_at_most, self._arrival.set)
        subscriptions = Subscriptions(consuming, self._names)
        engine.on_consumer_cancel_callbacks.add(partial(self._cancelled_by_broker, subscriptions))
        read_deliveries(engine, partial(self._arrived, subscriptions))
        if self._channel is not None:
            self.breaks += 1
        if not self._stopped:
            await subscriptions.begin(
                {lane: self._most(lane) for queue in self._prefetch for lane in self._lanes(queue)}
            )
        self._channel, self._subscriptions = channel, subscriptions
        self._arrival.set()  # `receive` may have judged what arrived meanwhile by the counts of the connection before
        if self._stopped:
            await self._end(subscriptions)

    async def _end(self, subscriptions: Subscriptions) -> None:
        """End the subscriptions, and return their deliveries that were not handed out to their queues."""
        with suppress(*BROKEN), cancelled_by_us_alone():
            await subscriptions.end(but=self._is_ordered)
        self._give_back_all()

    async def _follow(self, subscriptions: Subscriptions) -> None:
        """Apply the present prefetch. If that fails, the connection is broken, and the next one starts with it."""
        try:
            for lane in [lane for queue in self._prefetch for lane in self._lanes(queue)]:
                if not self._stopped:
                    with cancelled_by_us_alone():
                        ended = await subscriptions.hold(lane, self._most(lane))
                    if ended:
                        self._give_back([delivery for delivery in self._hand if delivery.consumer_tag in ended])
        except BROKEN as error:
            if not subscriptions.channel.lost:  # else another connection replaces it anyway
                log.warning("the prefetch cannot be set: %s; connecting again", error)
                await self._link.drop()

    def _give_back_all(self) -> None:
        """Return deliveries that were not handed out to their queues. Those of ordered queues return when the
        connection is closed, and their consumers end then: after the end of a consumer RabbitMQ would deliver the next
        event to another one, while this one's event still runs or waits."""
        self._give_back([delivery for delivery in self._hand if not self._is_ordered(delivery.queue)])

    def _give_back(self, deliveries: list[RabbitDelivery]) -> None:
        """Return deliveries that were not handed out to their queues."""
        for delivery in deliveries:
            self._hand.remove(delivery)
            if not delivery.lost:
                delivery.return_now()

    def _arrived(
        self, subscriptions: Subscriptions, deliver: Deliver, properties: Basic.Properties, body: bytes
    ) -> None:
        tag, consumer_tag, redelivered, exchange, routing_key = deliver
        channel, (queue, lane) = subscriptions.channel, subscriptions.arrived_from(consumer_tag)
        channel.unacked.delivered(tag, queue)
        by_name, now = self._routes_by_name(exchange), datetime.now(UTC)
        try:
            action = classify(ReceivedMessage(queue, routing_key, properties, body, now, _randomness, lane, by_name))
        except Exception:  # raised here, it would end the connection, and others would be redelivered with it
            log.exception("internal error while reading a message; RabbitMQ moves it to the ledger as it is")
            set_aside(channel, tag)
            return
        match action:
            case HandOut(envelope=envelope, early=early):
                origin, declared = Origin(tag, consumer_tag, channel), self._declared.get(queue)
                if declared is not None and declared.ordered:
                    arrival = Arrival(queue, str(properties.message_id), redelivered, early, origin)
                    self._ordered.arrived(arrival, envelope)
                    return
                token = f"{queue}:{properties.message_id}"
                priority = priority_of(envelope.event.handling, declared)
                delivery = RabbitDelivery(
                    *(envelope, queue, priority, token, redelivered, origin, self._publisher),
                    failure=self._foreign.failure_of,
                )
                if lane is not Priority.NORMAL and queue not in self._contended:
                    self._contended.add(queue)
                    self._spawn(self._follow(subscriptions))
                if early:
                    asyncio.get_running_loop().call_later(early, self._hand_out, delivery)
                else:
                    self._hand_out(delivery)
            case PutBack(envelope=envelope, due=due):
                self._spawn(self._replacing.replace(put_back(envelope, queue, due), channel, tag))
            case Bury(letter=letter):
                log.warning("queue %s: moving a message to the ledger: %s", queue, letter.error.message)
                self._spawn(self._replacing.replace(dead_letter(letter), channel, tag))

    def _hand_out(self, delivery: RabbitDelivery) -> None:
        self._hand.add(delivery)
        self._arrival.set()
        if self._stopped and not self._is_ordered(delivery.queue):
            self._give_back([delivery])

    def _withdraw(self, delivery: RabbitDelivery) -> bool:
        try:
            self._hand.remove(delivery)
        except ValueError:
            return False
        return True

    def _cancelled_by_broker(self, subscriptions: Subscriptions, cancel: Basic.Cancel) -> None:
        """Subscribe again after RabbitMQ ended a consumer: its queue was deleted or lost its leader."""
        lane = subscriptions.forget(str(cancel.consumer_tag))
        log.warning("RabbitMQ has ended the consumer of %s; declaring it again", self._names.queue(*lane))
        if not self._stopped:
            self._spawn(self._subscribe_again(subscriptions))

    async def _subscribe_again(self, subscriptions: Subscriptions) -> None:
        try:
            await self._repair()
        except BridgeError as error:
            if not subscriptions.channel.lost:
                log.warning("the queues cannot be declared: %s; connecting again", error)
                await self._link.drop()
            return
        await self._follow(subscriptions)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        return task
