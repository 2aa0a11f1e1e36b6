"""An envelope held from a RabbitMQ queue. What takes its place is confirmed before it is acknowledged."""

from datetime import timedelta
from typing import NamedTuple

from bridge.brokers.rabbitmq.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.session import Session
from bridge.envelope import Envelope
from bridge.errors import BrokerUnavailable, DeferError
from bridge.ledger import Letter


class Held(NamedTuple):
    """What RabbitMQ knows of a delivery: its tag, by which consumer it came, and on which channel."""

    tag: int
    subscription: str
    session: Session


class RabbitDelivery:
    """A delivery of one generation of the consumer; see the contract."""

    __slots__ = ("_held", "_publisher", "envelope", "queue", "redelivered", "token")

    def __init__(
        self, envelope: Envelope, queue: str, token: str, redelivered: bool, held: Held, publisher: RabbitPublisher
    ) -> None:
        self.envelope = envelope
        self.queue = queue
        self.token = token
        self.redelivered = redelivered
        self._held = held
        self._publisher = publisher

    @property
    def lost(self) -> bool:
        """Whether the connection that brought it is gone."""
        return self._held.session.lost

    @property
    def subscription(self) -> str:
        """The consumer that it came by, by its tag."""
        return self._held.subscription

    async def ack(self) -> None:
        """It is done with."""
        self._held.session.ack(self._held.tag)

    async def retry(self, envelope: Envelope, wait: timedelta) -> None:
        """Replace it by this envelope in the same queue, not before so long from now."""
        self._held.session.check()
        try:
            await self._publisher.put_after(envelope, self.queue, wait)
        except DeferError as error:
            raise BrokerUnavailable(f"the retry is not confirmed: {error}") from error
        self._held.session.ack_replaced(self._held.tag)

    async def dead_letter(self, letter: Letter) -> None:
        """Replace it by an entry in the ledger."""
        self._held.session.check()
        try:
            await self._publisher.bury(letter)
        except DeferError as error:
            raise BrokerUnavailable(f"the dead letter is not confirmed: {error}") from error
        self._held.session.ack_replaced(self._held.tag)

    async def give_back(self) -> None:
        """Let another worker have it at once."""
        self.return_now()

    def return_now(self) -> None:
        """Give it back without waiting for anything. Raise `DeliveryLost`."""
        self._held.session.give_back(self._held.tag)
