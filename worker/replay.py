"""The replay of one event: one column of verbs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import assert_never

from bridge.brokers.contract import Delivery
from bridge.ledger import Letter, Transcript
from bridge.outcome import Exchange, NotTaken, PoolUnavailable, Reply, Trust, outcome_of
from bridge.request import Site, parameters
from bridge.settlement import Ack, DeadLetter, Policies, Retry, Settlement, decide
from bridge.telemetry import Hook, Settled, tell
from worker.held import HeldEvent
from worker.slot_queue import SlotQueue


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for the events of one queue: seconds for a replay, and the retry policies."""

    deadline: float
    policies: Policies


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Replayer:
    """Replays events of these queues into slots of one pool."""

    rules: Mapping[str, Rules]
    site: Site
    hooks: Sequence[Hook]
    trust: Trust = Trust.RECEIVER
    now: Callable[[], datetime] = field(default=_utc_now)

    async def replay(self, held: HeldEvent, slots: SlotQueue) -> PoolUnavailable | None:
        """Replay and settle one event; its slot is released as soon as the reply is there.

        Return `PoolUnavailable`, and settle nothing, where the pool did not take it. Raise `NoSlotToCome`.
        """
        envelope, queue = held.delivery.envelope, held.delivery.queue
        rules = self.rules[queue]
        request = parameters(envelope, queue, self.site)
        slot = await slots.lease()
        started = self.now()
        try:
            exchange = await slot.exchange(request, envelope.event.data, rules.deadline)
        finally:
            slots.release(slot)
        finished = self.now()
        await asyncio.sleep(0)  # whoever has the slot now begins before we go on
        outcome = outcome_of(exchange, self.trust, finished)
        if isinstance(outcome, PoolUnavailable):
            return outcome
        settlement = decide(envelope, outcome, rules.policies, started, finished)
        verb = _verb(settlement, finished, lambda dead: _letter(dead, queue, request, exchange, finished))
        if await held.settle(verb):
            seconds = (finished - started).total_seconds()
            tell(self.hooks, Settled(envelope, queue, outcome, settlement, seconds))
        return None


def _verb(
    settlement: Settlement, now: datetime, letter: Callable[[DeadLetter], Letter]
) -> Callable[[Delivery], Awaitable[None]]:
    match settlement:
        case Ack():
            return lambda delivery: delivery.ack()
        case Retry(envelope=envelope, due=due):
            wait = due - now  # and no look at the clock again: it may have been set
            return lambda delivery: delivery.retry(envelope, wait)
        case DeadLetter():
            written = letter(settlement)
            return lambda delivery: delivery.dead_letter(written)
    assert_never(settlement)


def _letter(dead: DeadLetter, queue: str, request: Mapping[str, str], exchange: Exchange, now: datetime) -> Letter:
    return Letter(now, queue, dead.reason, dead.envelope, dead.error, _transcript(request, exchange))


def _transcript(request: Mapping[str, str], exchange: Exchange) -> Transcript:
    error_output = "" if isinstance(exchange, NotTaken) else _text(exchange.error_output)
    if isinstance(exchange, Reply):
        return Transcript(request, exchange.status, exchange.headers, _text(exchange.body), error_output)
    return Transcript(request, error_output=error_output)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
