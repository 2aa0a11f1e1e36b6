"""Sends messages to RabbitMQ over one connection, each again and again until RabbitMQ confirms it."""

import asyncio
import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import NamedTuple

from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Engine
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from bridge.back_off import BackOff
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.client_internals import frame_max
from bridge.brokers.rabbitmq.connection.connecting import BROKEN, cancelled_by_us_alone
from bridge.brokers.rabbitmq.connection.errors import error_text
from bridge.brokers.rabbitmq.connection.link import Link
from bridge.brokers.rabbitmq.publishing.confirmation import Confirmation
from bridge.brokers.rabbitmq.publishing.confirming import ConfirmingChannel, Nacked, Returned
from bridge.brokers.rabbitmq.publishing.frames import Properties
from bridge.brokers.rabbitmq.publishing.publication import Addressed, Publication, addressed
from bridge.brokers.rabbitmq.publishing.recovery import LANDED_WITHIN
from bridge.brokers.rabbitmq.publishing.silence import Silence
from bridge.brokers.rabbitmq.publishing.trials import Trials, target_of
from bridge.brokers.rabbitmq.topology.messages import Message
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BrokerRefused, BrokerUnavailable, TooLarge

PUBLISH_BACK_OFF = BackOff(first=0.04, at_most=1.0, jitter=1.0)

IN_FLIGHT = 500
"""Publishes of a connection for which tasks wait at a time."""

PERSISTENT = 2

_SIZE_LIMIT = re.compile(r"message size \d+ is larger than (?:configured )?max size (\d+)")


class Tried(NamedTuple):
    """One try to publish, at a reading of the steady clock. `error` is None for a confirm. `alone`: the message had its
    channel for itself."""

    to: Addressed
    published_at: float
    error: Exception | None
    alone: bool


class Sender(ABC):
    """A connection that publishes, and the loop that publishes a message until it is confirmed.

    `QueueSender` and `StreamSender` decide what follows from a returned or a rejected message, and which error the
    caller gets at the deadline. A channel that publishes to a stream publishes to nothing else: when a stream's leader
    changes, RabbitMQ before 4.0 repeats the unconfirmed messages under the channel's numbers, which are higher than the
    stream's own as soon as the channel has published anything else. The stream then takes the following messages for
    repeats: it confirms and drops them (rabbitmq-server#12236).
    """

    def __init__(self, address: Address, names: Names, repair: Callable[[], Awaitable[None]]) -> None:
        self._names = names
        self._link = Link(address, _no_preparation, repair, names.question, confirms=True)
        self._silence = Silence(self._link.doubt)
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._trials = Trials()
        self._confirming: ConfirmingChannel | None = None

    @property
    def trouble(self) -> str:
        """The reason why nothing can be sent now, for people; empty if there is none or nothing was sent yet."""
        return self._link.trouble if self._link.state in ("connecting", "blocked") else ""

    async def send(self, publication: Publication, deadline: Deadline) -> None:
        """Publish until RabbitMQ confirms or the deadline comes. A patient publication waits for its confirm beyond the
        deadline while its channel is open. Raise `TooLarge`, and the errors that the subclass names."""
        await self._send(publication, Confirmation(publication, deadline), deadline)

    async def _send(
        self, publication: Publication, confirmation: Confirmation, deadline: Deadline, tried: Tried | None = None
    ) -> None:
        """Publish as `send` does, perhaps after a first try."""
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())) as limit, self._room:
                liftable = limit if publication.patient else None
                for wait in PUBLISH_BACK_OFF.waits(random.random):
                    if tried is None:
                        with self._silence.waiting():
                            tried = await self._try(publication, confirmation, deadline, liftable)
                    if await self._is_confirmed(tried, confirmation):
                        return
                    tried = None
                    await asyncio.sleep(wait)
        except (TimeoutError, BrokerRefused, BrokerUnavailable) as error:
            reason = str(error) or self._link.trouble
            raise self._failure(confirmation, reason, refused=isinstance(error, BrokerRefused)) from error

    async def ready(self, deadline: Deadline) -> None:
        """Return when the connection is up and not blocked. Raise `BrokerUnavailable` at the deadline, and
        `BrokerRefused`."""
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())):
                await self._channel()
        except TimeoutError as error:
            raise BrokerUnavailable(self._link.trouble) from error

    async def close(self) -> None:
        """Close the connection within some 2 s; a second call does nothing."""
        await self._link.close()

    @abstractmethod
    async def _returned(self, to: Addressed, confirmation: Confirmation, published_at: float, error: Returned) -> None:
        """Prepare another try after RabbitMQ returned the message because no queue takes it, or raise."""

    @abstractmethod
    async def _exchange_missing(self, published_at: float) -> None:
        """Prepare another try after RabbitMQ did not find the exchange, or raise. Nothing was published."""

    @abstractmethod
    async def _rejected(self, to: Addressed, confirmation: Confirmation, error: Nacked) -> None:
        """Prepare another try after RabbitMQ rejected the message with a nack, or raise."""

    @abstractmethod
    def _forbidden(self, confirmation: Confirmation, words: str) -> BridgeError:
        """Return the error of a message that RabbitMQ does not permit this user to publish."""

    @abstractmethod
    def _failure(self, confirmation: Confirmation, reason: str, *, refused: bool) -> BridgeError:
        """Return the error of a message that is not confirmed. `refused`: RabbitMQ refuses this client."""

    async def _channel(self) -> ConfirmingChannel:
        return self._of(await self._link.channel())

    def _of(self, engine: Engine) -> ConfirmingChannel:
        if self._confirming is None or self._confirming.engine is not engine:
            self._confirming = ConfirmingChannel(engine)
        return self._confirming

    async def _check_way(self, publication: Publication, channel: ConfirmingChannel) -> None:
        """Raise `BrokerRefused` if the message would be published and not arrive."""
        return

    def _flight(self, to: Addressed) -> AbstractContextManager[None]:
        """Return a block in which this publish is in flight. Raise an error if it cannot be sent."""
        return nullcontext()

    async def _try(
        self, publication: Publication, confirmation: Confirmation, deadline: Deadline, liftable: asyncio.Timeout | None
    ) -> Tried:
        """Publish once, and return the answer."""
        channel = await self._channel()
        published_at = time.monotonic()
        if deadline.expired(published_at):
            raise TimeoutError
        # Addressed for each try: the due time has come closer since the last one.
        fitting = publication.fitting(frame_max(channel.engine))
        to = addressed(fitting, self._names, datetime.now(UTC), published_at)
        await self._check_way(publication, channel)
        chosen: ConfirmingChannel | None = None
        failure: Exception | None = None
        try:
            with cancelled_by_us_alone(), self._flight(to):
                async with self._trials.channel(channel, target_of(to)) as chosen:
                    confirmation.in_flight = True
                    with _while_open(chosen.engine, liftable):
                        await chosen.publish(*written(to))
        except BROKEN as error:
            failure = error
        return Tried(to, published_at, failure, alone=chosen is not channel)

    async def _is_confirmed(self, tried: Tried, confirmation: Confirmation) -> bool:
        """Return True if the message is confirmed. Else prepare another try, or raise."""
        match tried.error:
            case None:
                return True
            case Returned() as error:
                confirmation.in_flight = False
                await self._returned(tried.to, confirmation, tried.published_at, error)
            case Nacked() as error:
                await self._rejected(tried.to, confirmation, error)
            case ChannelInvalidStateError():
                pass  # the channel was gone before anything was written
            case ChannelAccessRefused() | ChannelNotFoundEntity() as error:
                if tried.alone:  # so it was not published
                    confirmation.in_flight = False
                    await self._refused_alone(confirmation, tried.published_at, error)
                else:
                    self._trials.forget()
                    confirmation.unknown = True
            case ChannelPreconditionFailed() as error:
                _check_size(tried.to.message, error)
                confirmation.unknown = True
            case _:
                confirmation.unknown = confirmation.unknown or confirmation.in_flight
        confirmation.in_flight = False
        return False

    async def _refused_alone(
        self, confirmation: Confirmation, published_at: float, error: ChannelAccessRefused | ChannelNotFoundEntity
    ) -> None:
        """Prepare another try after RabbitMQ refused the message, or raise."""
        if isinstance(error, ChannelAccessRefused):
            raise self._forbidden(confirmation, f"RabbitMQ forbids it: {error_text(error)}") from error
        await self._exchange_missing(published_at)


def written(to: Addressed) -> tuple[str, str, Properties, bytes]:
    """Return the message as a `ConfirmingChannel` takes it."""
    message = to.message
    properties = Properties(
        PERSISTENT, message.content_type, message.headers or None, time=message.time, type=message.type
    )
    return to.exchange, to.routing_key, properties, message.body


@contextmanager
def _while_open(channel: Engine, liftable: asyncio.Timeout | None) -> Iterator[None]:
    """Lift a time limit, if one is given, until shortly after the channel has closed."""
    if liftable is None:
        yield
        return
    loop, deadline, closing, inside = asyncio.get_running_loop(), liftable.when(), channel.closing, True

    def closed(_: object) -> None:
        if inside and not closing.cancelled():
            liftable.reschedule(loop.time() + LANDED_WITHIN)

    liftable.reschedule(None)
    closing.add_done_callback(closed)
    try:
        yield
    finally:
        inside = False
        closing.cancel()
        if not liftable.expired():
            liftable.reschedule(deadline)


def _check_size(message: Message, error: ChannelPreconditionFailed) -> None:
    """Raise `TooLarge` if this message made RabbitMQ close the channel; all publishes in flight get the same error."""
    found, size = _SIZE_LIMIT.search(error_text(error)), len(message.body)
    if found is not None and size > int(found[1]):
        raise TooLarge(f"the data is {size} bytes: RabbitMQ takes at most {found[1]} (max_message_size)") from error


async def _no_preparation(channel: AbstractChannel) -> None:
    """Do nothing: a channel to publish on needs no preparation."""
