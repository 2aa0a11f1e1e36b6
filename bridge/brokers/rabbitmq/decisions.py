"""Decisions about dead letters on RabbitMQ: messages to the ledger's stream, under an exclusive queue as the lock."""

from datetime import UTC, datetime

from aiormq.channel import Channel as Engine

from bridge.brokers.rabbitmq.connection import is_open
from bridge.brokers.rabbitmq.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.record import decision_message
from bridge.envelope import Envelope
from bridge.errors import BrokerRefused, BrokerUnavailable
from bridge.ledger import Decision, Discarded, Redriven

DECISION_KEY = "decision"


class RabbitDecisions:
    """The right to decide, as long as the connection that holds it lasts."""

    def __init__(self, lock: Engine, publisher: RabbitPublisher, undecided: set[int]) -> None:
        self._lock = lock
        self._publisher = publisher
        self._undecided = undecided

    async def redrive(self, number: int, envelope: Envelope, queue: str, actor: str, note: str) -> None:
        """Put the envelope into its queue, then record it. `queue` is empty for a letter that no queue took: it is
        routed by its name again. Raise `BrokerRefused` where the letter is not open."""
        self._check(number)
        if queue:
            await self._publisher.put(envelope, queue)
        else:
            await self._publisher.publish_envelope(envelope)
        await self._record(Redriven(0, number, datetime.now(UTC), actor, note))

    async def discard(self, number: int, actor: str, note: str) -> None:
        """Record that the letter is let go. Raise `BrokerRefused` where it is not open."""
        self._check(number)
        await self._record(Discarded(0, number, datetime.now(UTC), actor, note))

    def _check(self, number: int) -> None:
        if not is_open(self._lock):
            raise BrokerUnavailable("the connection that held the right to decide is gone; nothing was decided")
        if number not in self._undecided:
            raise BrokerRefused(f"dead letter {number}: it is not open; somebody has decided about it, or it never was")

    async def _record(self, decision: Decision) -> None:
        await self._publisher.record(decision_message(decision), DECISION_KEY, f"letter {decision.letter}")
        self._undecided.discard(decision.letter)
