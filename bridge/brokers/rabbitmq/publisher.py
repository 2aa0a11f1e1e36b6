"""Publishes to RabbitMQ with confirms: by event name, into one queue, onto the delay ladder, into the ledger."""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Engine
from aiormq.exceptions import ChannelInvalidStateError, ChannelPreconditionFailed, DeliveryError, PublishError

from bridge.brokers.contract import WITHIN
from bridge.brokers.rabbitmq.address import Address
from bridge.brokers.rabbitmq.connection import BROKEN, cancelled_by_us_alone
from bridge.brokers.rabbitmq.fate import Fate
from bridge.brokers.rabbitmq.ladder import climb, to_event, to_queue
from bridge.brokers.rabbitmq.link import Link
from bridge.brokers.rabbitmq.topology import Names, said
from bridge.brokers.rabbitmq.wire import Message, envelope_message, letter_message
from bridge.envelope import Envelope
from bridge.errors import (
    BridgeError,
    BrokerRefused,
    BrokerUnavailable,
    TooLarge,
    Unroutable,
)
from bridge.event import Event, after
from bridge.ledger import Letter
from bridge.queues import Queue, route

IN_FLIGHT = 500
"""Unconfirmed publishes at a time: aiormq looks through all of them at every confirm of several."""

LARGE_BODY = 64 * 1024
"""From here on, a publish waits until the socket has taken it, so that 500 of them do not pile up in memory."""

REPAIRED_EVERY = 10.0
"""Seconds between two declarations for what comes back: an event that no queue is meant to take would cost one each."""

RENEWED_EVERY = 10.0
"""Seconds between two new connections for what is refused."""

LANDED_WITHIN = 1.0
"""Seconds that what is in flight may take to be answered before a connection is given up for another, and behind the
end of its channel: aiormq leaves alone who waits to write."""

_SIZE_LIMIT = re.compile(r"message size \d+ is larger than (?:configured )?max size (\d+)")


Remaining = Callable[[], timedelta]
"""How long something still has to wait, whenever it is asked."""


class Addressed(NamedTuple):
    """A message, and where it goes."""

    message: Message
    exchange: str
    routing_key: str


class RabbitPublisher:
    """A publisher with a connection of its own for events, and, from the first letter or decision on, one for the
    ledger.

    What goes to a stream shares no channel with what does not. When a stream's leader changes, RabbitMQ before 4.0
    repeats what it has not confirmed under the channel's numbers, which are higher than the stream's own as soon as the
    channel has published anything else. The stream then takes what follows for repeats: it confirms and drops it
    (rabbitmq-server#12236).
    """

    def __init__(
        self, address: Address, names: Names, queues: Mapping[str, Queue], repair: Callable[[], Awaitable[None]]
    ) -> None:
        self._names = names
        self._queues = queues
        self._to_queues = Link(address, _no_preparation, repair, confirms=True)
        self._to_ledger = Link(address, _no_preparation, repair, confirms=True)
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._repair = repair
        self._repairing = asyncio.Lock()
        self._repaired_at = -REPAIRED_EVERY
        self._renewed_at = time.monotonic()
        self._renewing = asyncio.Lock()
        self._flights = 0
        self._landed = asyncio.Event()

    @property
    def trouble(self) -> str:
        """What keeps it from publishing, for people. Empty where nothing does, or nothing was to be published yet."""
        kept = [link.trouble for link in (self._to_queues, self._to_ledger) if link.state in ("connecting", "blocked")]
        return kept[0] if kept else ""

    async def publish(self, event: Event, due: datetime | None = None, *, within: float = WITHIN) -> None:
        """Publish to every queue that takes the event's name, now or when it is due; see the contract."""
        envelope = Envelope(event, round_began=due or event.time)
        await self.publish_envelope(envelope, due, within=within)

    async def publish_envelope(
        self, envelope: Envelope, due: datetime | None = None, *, within: float = WITHIN
    ) -> None:
        """Publish an envelope as `publish` does its event."""
        name = envelope.event.name
        at_once = Addressed(envelope_message(envelope), self._names.events, name)
        await self._by_ladder(envelope, at_once, to_event(name), _until(due), within, exact=True)

    async def put(self, envelope: Envelope, queue: str, due: datetime | None = None, *, within: float = WITHIN) -> None:
        """Put an envelope into one queue, now or when it is due; see the contract."""
        at_once = Addressed(envelope_message(envelope), "", self._names.queue(queue))
        await self._by_ladder(envelope, at_once, to_queue(queue), _until(due), within, exact=True)

    async def put_after(self, envelope: Envelope, queue: str, wait: timedelta, *, exact: bool = False) -> None:
        """Put an envelope into one queue after a wait, which is no shorter where somebody sets this machine's clock,
        and unless `exact` may be some 12 % longer. What is written is waited for as long as its connection lasts.
        Raises what `put` raises."""
        at_once = Addressed(envelope_message(envelope), "", self._names.queue(queue))
        await self._by_ladder(envelope, at_once, to_queue(queue), _from_now(wait), WITHIN, exact=exact, patient=True)

    async def bury(self, letter: Letter) -> None:
        """Publish a dead letter to the ledger, and wait for it as `put_after` does."""
        await self.record(letter_message(letter), letter.queue, letter.envelope.event.id, patient=True)

    async def record(self, message: Message, routing_key: str, subject: str, *, patient: bool = False) -> None:
        """Publish a message to the ledger; `subject` is what errors call it. Raises what `publish` raises."""
        entry = Addressed(message, self._names.dead_letters, routing_key)
        await self._confirmed(self._to_ledger, lambda: entry, subject, WITHIN, patient=patient)

    async def close(self) -> None:
        """Close it; twice is as good as once."""
        await asyncio.gather(self._to_queues.close(), self._to_ledger.close())

    async def _by_ladder(
        self,
        envelope: Envelope,
        at_once: Addressed,
        destination: str,
        remaining: Remaining | None,
        within: float,
        *,
        exact: bool,
        patient: bool = False,
    ) -> None:
        if remaining is None:
            await self._confirmed(self._to_queues, lambda: at_once, envelope.event.id, within, patient=patient)
            return

        def addressed() -> Addressed:
            wait = remaining()
            step = climb(wait, destination, exact=exact)
            if step is None:
                return at_once
            message = at_once.message
            if step.parked:
                message = envelope_message(envelope, parked_until=after(datetime.now(UTC), wait.total_seconds()))
            return Addressed(message, self._names.delay(step.level), step.routing_key)

        await self._confirmed(self._to_queues, addressed, envelope.event.id, within, patient=patient)

    async def _confirmed(
        self, link: Link, addressed: Callable[[], Addressed], event_id: str, within: float, *, patient: bool
    ) -> None:
        """Publish until it is confirmed or the time is over, which for the patient goes on while something is in
        flight: to publish it once more would run the event twice. It is addressed anew for every try: what is due later
        comes closer meanwhile."""
        fate = Fate(event_id, within)
        try:
            async with asyncio.timeout(within) as limit, self._room:
                while True:
                    if await self._try(link, addressed, fate, limit if patient else None):
                        return
                    await asyncio.sleep(random.uniform(0, fate.pause()))
        except (TimeoutError, BrokerRefused, BrokerUnavailable) as error:
            raise fate.as_error(str(error) or link.trouble) from error

    async def _try(
        self, link: Link, addressed: Callable[[], Addressed], fate: Fate, lifted: asyncio.Timeout | None
    ) -> bool:
        async with self._renewing:  # nothing sets out meanwhile
            pass
        channel = await link.channel()
        if fate.out_of_time():
            raise TimeoutError
        message, exchange, routing_key = addressed()
        published_at = time.monotonic()
        fate.in_flight = True
        try:
            with cancelled_by_us_alone(), self._in_flight(), _while_open(channel, lifted):
                await channel.basic_publish(
                    message.body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=message.properties(),
                    mandatory=True,
                    wait=len(message.body) >= LARGE_BODY,
                )
        except PublishError as error:
            fate.in_flight = False
            if not await self._repaired_since(published_at):
                if fate.unknown:
                    raise BrokerRefused("no queue takes it any more, and an earlier publish of it may run") from error
                raise _unroutable(exchange, routing_key) from error
        except DeliveryError as error:
            fate.rejected = True
            if exchange == self._names.events and len(route(self._queues.values(), routing_key)) != 1:
                # Not once more: those queues that have it would have it twice. (bridge-dlq knows of none.)
                raise fate.partly(routing_key) from error
            await self._renew(link)
        except ChannelInvalidStateError:
            pass  # the channel was gone before anything was written
        except ChannelPreconditionFailed as error:
            _check_size(message, error)
            fate.unknown = True
        except BROKEN:
            fate.unknown = True
        else:
            return True
        fate.in_flight = False
        return False

    async def _renew(self, link: Link) -> None:
        """Take a new connection, now and then: a channel that was told of a full queue is refused for ever where the
        limit was lifted while the queue was full."""
        now = time.monotonic()
        if now - self._renewed_at < RENEWED_EVERY:
            return
        self._renewed_at = now
        async with self._renewing:
            with suppress(TimeoutError):
                async with asyncio.timeout(LANDED_WITHIN):
                    while self._flights:  # what is cut off would be published twice
                        self._landed.clear()
                        await self._landed.wait()
            await link.drop()

    @contextmanager
    def _in_flight(self) -> Iterator[None]:
        self._flights += 1
        try:
            yield
        finally:
            self._flights -= 1
            self._landed.set()

    async def _repaired_since(self, published_at: float) -> bool:
        """Declare again what is lost, where no queue took a message: a queue or a binding may have been deleted. Return
        False where that was done shortly before it was published, or cannot be done."""
        async with self._repairing:
            if self._repaired_at < published_at:
                if published_at - self._repaired_at < REPAIRED_EVERY:
                    return False
                with suppress(BridgeError):  # said by whoever uses what is missing
                    await self._repair()
                    self._repaired_at = time.monotonic()
            return self._repaired_at >= published_at


@contextmanager
def _while_open(channel: Engine, lifted: asyncio.Timeout | None) -> Iterator[None]:
    """Lift a limit of time, where there is one to be lifted, until shortly after the channel has closed."""
    if lifted is None:
        yield
        return
    loop, deadline, closing, inside = asyncio.get_running_loop(), lifted.when(), channel.closing, True

    def closed(_: object) -> None:
        if inside and not closing.cancelled():
            lifted.reschedule(loop.time() + LANDED_WITHIN)

    lifted.reschedule(None)
    closing.add_done_callback(closed)
    try:
        yield
    finally:
        inside = False
        closing.cancel()
        if not lifted.expired():
            lifted.reschedule(deadline)


def _until(due: datetime | None) -> Remaining | None:
    """What is due at a moment waits for this machine's clock."""
    return None if due is None else lambda: due - datetime.now(UTC)


def _from_now(wait: timedelta) -> Remaining:
    end = time.monotonic() + wait.total_seconds()
    return lambda: timedelta(seconds=end - time.monotonic())


def _unroutable(exchange: str, routing_key: str) -> Unroutable:
    if not exchange:
        return Unroutable(f"there is no queue {routing_key!r}")
    return Unroutable(f"event {routing_key!r}: no queue takes it; a [queues.default] would catch what no other does")


def _check_size(message: Message, error: ChannelPreconditionFailed) -> None:
    """Raise `TooLarge` where this message is why RabbitMQ closed the channel; all in flight on it hear the reason."""
    found, size = _SIZE_LIMIT.search(said(error)), len(message.body)
    if found is not None and size > int(found[1]):
        raise TooLarge(f"the data is {size} bytes: RabbitMQ takes at most {found[1]} (max_message_size)") from error


async def _no_preparation(channel: AbstractChannel) -> None:
    """A channel to publish on needs nothing."""
