"""Sends messages to RabbitMQ over one connection, each again and again until RabbitMQ confirms it."""

import asyncio
import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime

from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Engine
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
)

from bridge.back_off import BackOff
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.client_internals import frame_max
from bridge.brokers.rabbitmq.connection.connecting import BROKEN, cancelled_by_us_alone
from bridge.brokers.rabbitmq.connection.errors import error_text
from bridge.brokers.rabbitmq.connection.link import Link
from bridge.brokers.rabbitmq.publishing.confirmation import Confirmation
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
"""Unconfirmed publishes of a connection: aiormq looks through all of them at every confirm of several."""

LARGE_BODY = 64 * 1024
"""Bytes from which a publish waits until the socket has taken it, so that 500 of them do not pile up in memory."""

_SIZE_LIMIT = re.compile(r"message size \d+ is larger than (?:configured )?max size (\d+)")


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

    @property
    def trouble(self) -> str:
        """The reason why nothing can be sent now, for people; empty if there is none or nothing was sent yet."""
        return self._link.trouble if self._link.state in ("connecting", "blocked") else ""

    async def send(self, publication: Publication, deadline: Deadline) -> None:
        """Publish until RabbitMQ confirms or the deadline comes. A patient publication waits for its confirm beyond the
        deadline while its channel is open. Raise `TooLarge`, and the errors that the subclass names."""
        confirmation = Confirmation(publication, deadline)
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())) as limit, self._room:
                liftable = limit if publication.patient else None
                for wait in PUBLISH_BACK_OFF.waits(random.random):
                    with self._silence.waiting():
                        confirmed = await self._try(publication, confirmation, deadline, liftable)
                    if confirmed:
                        return
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
    async def _returned(
        self, to: Addressed, confirmation: Confirmation, published_at: float, error: PublishError
    ) -> None:
        """Prepare another try after RabbitMQ returned the message because no queue takes it, or raise."""

    @abstractmethod
    async def _exchange_missing(self, published_at: float) -> None:
        """Prepare another try after RabbitMQ did not find the exchange, or raise. Nothing was published."""

    @abstractmethod
    async def _rejected(self, to: Addressed, confirmation: Confirmation, error: DeliveryError) -> None:
        """Prepare another try after RabbitMQ rejected the message with a nack, or raise."""

    @abstractmethod
    def _forbidden(self, confirmation: Confirmation, words: str) -> BridgeError:
        """Return the error of a message that RabbitMQ does not permit this user to publish."""

    @abstractmethod
    def _failure(self, confirmation: Confirmation, reason: str, *, refused: bool) -> BridgeError:
        """Return the error of a message that is not confirmed. `refused`: RabbitMQ refuses this client."""

    async def _channel(self) -> Engine:
        return await self._link.channel()

    async def _check_way(self, publication: Publication, channel: Engine) -> None:
        """Raise `BrokerRefused` if the message would be published and not arrive."""
        return

    def _flight(self, to: Addressed) -> AbstractContextManager[None]:
        """Return a block in which this publish is in flight. Raise an error if it cannot be sent."""
        return nullcontext()

    async def _try(
        self, publication: Publication, confirmation: Confirmation, deadline: Deadline, liftable: asyncio.Timeout | None
    ) -> bool:
        """Publish once. Return True if it is confirmed, False if it has to be published again."""
        channel = await self._channel()
        published_at = time.monotonic()
        if deadline.expired(published_at):
            raise TimeoutError
        # Addressed for each try: the due time has come closer since the last one.
        to = addressed(publication.fitting(frame_max(channel)), self._names, datetime.now(UTC), published_at)
        await self._check_way(publication, channel)
        chosen: Engine | None = None
        try:
            with cancelled_by_us_alone(), self._flight(to):
                async with self._trials.channel(channel, target_of(to)) as chosen:
                    confirmation.in_flight = True
                    with _while_open(chosen, liftable):
                        await _publish(chosen, to)
        except PublishError as error:
            confirmation.in_flight = False
            await self._returned(to, confirmation, published_at, error)
        except DeliveryError as error:
            await self._rejected(to, confirmation, error)
        except ChannelInvalidStateError:
            pass  # the channel was gone before anything was written
        except (ChannelAccessRefused, ChannelNotFoundEntity) as error:
            if chosen is not channel:  # the message was alone on its channel, so it was not published
                confirmation.in_flight = False
                await self._refused_alone(confirmation, published_at, error)
            else:
                self._trials.forget()
                confirmation.unknown = True
        except ChannelPreconditionFailed as error:
            _check_size(to.message, error)
            confirmation.unknown = True
        except BROKEN:
            confirmation.unknown = confirmation.unknown or confirmation.in_flight
        else:
            return True
        confirmation.in_flight = False
        return False

    async def _refused_alone(
        self, confirmation: Confirmation, published_at: float, error: ChannelAccessRefused | ChannelNotFoundEntity
    ) -> None:
        """Prepare another try after RabbitMQ refused the message, or raise."""
        if isinstance(error, ChannelAccessRefused):
            raise self._forbidden(confirmation, f"RabbitMQ forbids it: {error_text(error)}") from error
        await self._exchange_missing(published_at)


async def _publish(channel: Engine, to: Addressed) -> None:
    await channel.basic_publish(
        to.message.body,
        exchange=to.exchange,
        routing_key=to.routing_key,
        properties=to.message.properties(),
        mandatory=True,
        wait=len(to.message.body) >= LARGE_BODY,
    )


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
