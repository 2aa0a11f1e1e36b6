"""Sends messages to queues."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial

from aiormq.channel import Channel as Engine
from aiormq.exceptions import ChannelNotFoundEntity

from bridge.brokers.contract.publishing import Answered, Post, Withdraw
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.client_internals import frame_max
from bridge.brokers.rabbitmq.connection.connecting import cancelled_by_us_alone
from bridge.brokers.rabbitmq.publishing.confirmation import Confirmation
from bridge.brokers.rabbitmq.publishing.confirming import LARGE_BODY, ConfirmingChannel, Nacked, Returned
from bridge.brokers.rabbitmq.publishing.flights import Expired, Flights
from bridge.brokers.rabbitmq.publishing.publication import Addressed, ByName, IntoQueue, Publication, addressed
from bridge.brokers.rabbitmq.publishing.recovery import Renewal, Repair
from bridge.brokers.rabbitmq.publishing.sender import Sender, Tried, written
from bridge.brokers.rabbitmq.publishing.trials import target_of
from bridge.brokers.rabbitmq.topology.messages import MAX_SHORT_STRING
from bridge.brokers.rabbitmq.topology.names import LANES, Names
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BrokerRefused, Unroutable
from bridge.handling import Priority
from bridge.queues import Queue, route


class QueueSender(Sender):
    """A sender to queues, by an event's name, by a queue's name, or through the delay ladder.

    Raises `Unroutable` if no queue takes the message, `DeferForbidden` if this user may not publish it, `DeferRejected`
    if a queue rejects it until the deadline, `PartlyRejected` if one of several queues rejects it, and at the deadline
    `BrokerUnavailable` (nothing was published) or `DeferUnconfirmed` (it may have been). `queues` are all that are
    declared, by name.
    """

    def __init__(
        self, address: Address, names: Names, queues: Mapping[str, Queue], repair: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(address, names, repair)
        self._queues = queues
        self._repair = Repair(repair)
        self._renewal = Renewal()
        self._lanes: set[Priority] = set()
        self._flights = Flights(self._silence, self._renewal)
        self._going_on: set[asyncio.Task[None]] = set()

    def at_once(self, publication: Publication, deadline: Deadline) -> Post | None:
        """Return what publishes without waiting, if the connection is up, the user is known to be permitted, and
        nothing has to be looked up; see the contract."""
        engine = None if self._renewal.is_renewing else self._link.channel_now()
        if engine is None or not self._is_simple(publication, engine):
            return None
        channel, now = self._of(engine), time.monotonic()
        if not channel.has_room or deadline.expired(now):
            return None
        to = addressed(publication, self._names, datetime.now(UTC), now)
        if not self._trials.permits(target_of(to)):
            return None
        return partial(self._post, channel, publication, Tried(to, now, None, alone=False), deadline)

    def _is_simple(self, publication: Publication, engine: Engine) -> bool:
        """Return True if the message is small, and its way needs no check."""
        message = publication.message
        if len(message.body) >= LARGE_BODY or not message.header_within(frame_max(engine)):
            return False
        destination = publication.destination
        return publication.when is None or (
            isinstance(destination, ByName | IntoQueue) and destination.lane in (Priority.NORMAL, *self._lanes)
        )

    def _post(
        self,
        channel: ConfirmingChannel,
        publication: Publication,
        tried: Tried,
        deadline: Deadline,
        answered: Answered,
    ) -> Withdraw:
        confirmation = Confirmation(publication, deadline)
        confirmation.in_flight = True
        going_on: asyncio.Task[None] | None = None

        def ended(error: Exception | None) -> None:
            nonlocal going_on
            if error is None:
                answered(None)
            elif isinstance(error, Expired):
                answered(self._failure(confirmation, self._link.trouble, refused=False))
            else:
                after = tried._replace(error=error)
                going_on = asyncio.create_task(self._go_on(publication, confirmation, deadline, after, answered))
                self._going_on.add(going_on)
                going_on.add_done_callback(self._going_on.discard)

        def withdraw() -> None:
            if going_on is not None:
                going_on.cancel()

        channel.write(*written(tried.to), self._flights.begin(deadline, ended))
        return withdraw

    async def _go_on(
        self,
        publication: Publication,
        confirmation: Confirmation,
        deadline: Deadline,
        tried: Tried,
        answered: Answered,
    ) -> None:
        """Publish again, or find the error, after a first try that was not confirmed."""
        try:
            await self._send(publication, confirmation, deadline, tried)
        except Exception as error:  # an internal error too: the caller gets it
            answered(error)
        else:
            answered(None)

    async def _channel(self) -> ConfirmingChannel:
        await self._renewal.wait()
        return await super()._channel()

    async def _check_way(self, publication: Publication, channel: ConfirmingChannel) -> None:
        """Raise `BrokerRefused` if an event of high or low priority would climb the delay ladder, and nothing at its
        end takes that priority: the objects may be those of an earlier version."""
        destination = publication.destination
        if publication.when is None or not isinstance(destination, ByName | IntoQueue):
            return
        if destination.lane is not Priority.NORMAL and destination.lane not in self._lanes:
            try:
                with cancelled_by_us_alone():
                    async with self._trials.own_channel(channel) as own:
                        await own.engine.exchange_declare(self._names.events_of(destination.lane), passive=True)
            except ChannelNotFoundEntity:
                await self._repair.since(time.monotonic())
            self._lanes.add(destination.lane)

    def _flight(self, to: Addressed) -> AbstractContextManager[None]:
        if len(to.routing_key.encode()) > MAX_SHORT_STRING:  # an event or a queue of this name cannot exist
            raise self._unroutable(to)
        return self._renewal.in_flight()

    async def _returned(self, to: Addressed, confirmation: Confirmation, published_at: float, error: Returned) -> None:
        try:
            if await self._repair.since(published_at):
                return
        except BridgeError:
            if self._should_be_taken(to):
                raise
        if confirmation.unknown:
            raise BrokerRefused("no queue takes it any more, but an earlier try may have been published") from error
        raise self._unroutable(to) from error

    def _unroutable(self, to: Addressed) -> Unroutable:
        if to.exchange == "":
            return Unroutable(f"RabbitMQ has no queue {to.routing_key!r:.200}")
        if to.exchange == self._names.direct:
            return Unroutable(f"there is no queue {to.routing_key!r:.200}")
        return Unroutable(
            f"event {to.routing_key!r:.200}: no queue takes it; a [queues.default] would catch what no other does"
        )

    def _should_be_taken(self, to: Addressed) -> bool:
        """Return True if a declared topology would take the message, by these settings."""
        if self._names.takes_names(to.exchange):
            return bool(route(self._queues.values(), to.routing_key))
        lanes = (self._names.queue(queue, lane) for queue in self._queues for lane in LANES)
        return to.exchange not in ("", self._names.direct) or to.routing_key in lanes

    async def _rejected(self, to: Addressed, confirmation: Confirmation, error: Nacked) -> None:
        confirmation.rejected = True
        if self._names.takes_names(to.exchange) and len(route(self._queues.values(), to.routing_key)) != 1:
            # Another try would put it twice into the queues that took it. (bridge-dlq does not know the queues.)
            raise confirmation.partly(to.routing_key) from error
        await self._renewal.renew(self._link)

    async def _exchange_missing(self, published_at: float) -> None:
        await self._repair.since(published_at)

    def _forbidden(self, confirmation: Confirmation, words: str) -> BridgeError:
        return confirmation.as_forbidden(words)

    def _failure(self, confirmation: Confirmation, reason: str, *, refused: bool) -> BridgeError:
        return confirmation.as_defer_error(reason)  # a refusal too: the caller may spool the event
