"""An unacknowledged delivery from a RabbitMQ queue. Its replacement is confirmed before it is acknowledged."""

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

from bridge.brokers.rabbitmq.consuming.consumer_channel import ConsumerChannel
from bridge.brokers.rabbitmq.publishing.publication import Publication, dead_letter, retry
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.envelope import Envelope
from bridge.errors import BridgeError, BrokerUnavailable, DeferForbidden, TooLarge, Unroutable
from bridge.handling import Priority
from bridge.ledger import Letter

log = logging.getLogger(__name__)


class Origin(NamedTuple):
    """The origin of a delivery: its delivery tag, its consumer's tag, and its channel."""

    tag: int
    consumer_tag: str
    channel: ConsumerChannel


class RabbitDelivery:
    """A delivery of one channel of the consumer; see the contract. `in_place` retries the event of an ordered queue
    without a replacement. `failure` returns what is published besides a dead letter: the message to the queue of errors
    of an older bridge, or None."""

    __slots__ = (
        "_failure",
        "_in_place",
        "_origin",
        "_publisher",
        "envelope",
        "priority",
        "queue",
        "redelivered",
        "token",
    )

    def __init__(
        self,
        envelope: Envelope,
        queue: str,
        priority: Priority,
        token: str,
        redelivered: bool,
        origin: Origin,
        publisher: RabbitPublisher,
        in_place: Callable[[Envelope, timedelta], Awaitable[None]] | None = None,
        failure: Callable[[Letter], Publication | None] | None = None,
    ) -> None:
        self._failure = failure
        self._in_place = in_place
        self.envelope = envelope
        self.queue = queue
        self.priority = priority
        self.token = token
        self.redelivered = redelivered
        self._origin = origin
        self._publisher = publisher

    @property
    def lost(self) -> bool:
        """True if the connection that brought the delivery is gone."""
        return self._origin.channel.lost

    @property
    def consumer_tag(self) -> str:
        """The tag of the consumer that received the delivery."""
        return self._origin.consumer_tag

    def hand_out(self) -> None:
        """Count the delivery as handed out until it is settled."""
        self._origin.channel.hand_out(self._origin.tag, self.queue)

    async def ack(self) -> None:
        """Acknowledge the delivery."""
        self._origin.channel.ack(self._origin.tag)

    async def retry(self, envelope: Envelope, wait: timedelta) -> None:
        """Replace the delivery by this envelope in the same queue, after a wait."""
        if self._in_place is not None:
            self._origin.channel.check()
            await self._in_place(envelope, wait)
            return
        await self._replace(retry(envelope, self.queue, wait, time.monotonic()), "the retry")

    async def dead_letter(self, letter: Letter) -> None:
        """Replace the delivery by an entry in the ledger."""
        failure = None if self._failure is None else self._failure(letter)
        if failure is not None:
            await self._publish_failure(failure)
        await self._replace(dead_letter(letter), "the dead letter")

    async def give_back(self) -> None:
        """Return the delivery to its queue at once, for another worker."""
        self.return_now()

    def return_now(self) -> None:
        """Return the delivery to its queue without awaiting anything. Raise `DeliveryLost`."""
        self._origin.channel.requeue(self._origin.tag)

    async def _publish_failure(self, failure: Publication) -> None:
        """Publish a failure before its dead letter, so that it is not lost; a repeat of both makes a second copy."""
        self._origin.channel.check()
        try:
            await self._publisher.send(failure)
        except (Unroutable, DeferForbidden, TooLarge) as error:
            log.warning("%s: it is a dead letter alone", error)
        except BridgeError as error:
            raise BrokerUnavailable(f"the message to the queue of errors is not confirmed: {error}") from error

    async def _replace(self, replacement: Publication, name: str) -> None:
        self._origin.channel.check()
        try:
            await self._publisher.send(replacement)
        except TooLarge as error:
            log.error(  # noqa: TRY400  # the error is an answer of RabbitMQ
                "%s of event %s is too large for RabbitMQ; it moves the message to the ledger as it was received: %s",
                *(name, self.envelope.event.id, error),
            )
            self._origin.channel.set_aside(self._origin.tag)
            return
        except BridgeError as error:
            raise BrokerUnavailable(f"{name} is not confirmed: {error}") from error
        self._origin.channel.ack_replaced(self._origin.tag)
