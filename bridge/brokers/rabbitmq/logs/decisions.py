"""Decisions about dead letters on RabbitMQ: messages to the ledger's stream, under a claim."""

from collections.abc import Callable
from datetime import UTC, datetime

from bridge.brokers.contract.claims import Claim
from bridge.brokers.rabbitmq.publishing.publication import decision, event_by_name
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.topology.messages import decision_message
from bridge.envelope import Envelope
from bridge.errors import BrokerRefused, BrokerUnavailable
from bridge.ledger import Decision, Discarded, Redriven


class RabbitDecisions:
    """The right to decide, while the claim is held. `was_open` returns True if a letter was open when this began."""

    def __init__(self, claim: Claim, publisher: RabbitPublisher, was_open: Callable[[int], bool]) -> None:
        self._claim = claim
        self._publisher = publisher
        self._was_open = was_open
        self._decided: set[int] = set()

    async def redrive(self, number: int, envelope: Envelope, queue: str, actor: str, note: str) -> None:
        """Put the envelope into its queue, then record the decision. If `queue` is empty because no queue took the
        event, route it by its name again. Raise `BrokerRefused` if the letter is not open."""
        self._check(number)
        entry = Redriven(0, number, datetime.now(UTC), actor, note)  # its time is before the next attempt can end
        if queue:
            await self._publisher.put(envelope, queue)
        else:
            await self._publisher.send(event_by_name(envelope))
        await self._record(entry)

    async def discard(self, number: int, actor: str, note: str) -> None:
        """Record the decision to discard the letter. Raise `BrokerRefused` if the letter is not open."""
        self._check(number)
        await self._record(Discarded(0, number, datetime.now(UTC), actor, note))

    async def erase(self, number: int, actor: str, note: str) -> bool:
        """Raise `BrokerRefused`: RabbitMQ removes no single message of a stream."""
        raise BrokerRefused(
            f"dead letter {number} cannot be erased: RabbitMQ keeps the ledger in a stream, and removes only the oldest"
            " part of a stream, by a policy with max-age or max-length-bytes"
        )

    def _check(self, number: int) -> None:
        if not self._claim.held:
            raise BrokerUnavailable("the connection that held the right to decide is gone; nothing was decided")
        if number in self._decided or not self._was_open(number):
            raise BrokerRefused(f"dead letter {number}: it is not open; somebody has decided about it, or it never was")

    async def _record(self, entry: Decision) -> None:
        await self._publisher.send(decision(decision_message(entry), entry.letter))
        self._decided.add(entry.letter)
