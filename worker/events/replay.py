"""The replay of one event: send its request, decide the outcome, settle the delivery, tell the watchers."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn, assert_never

from bridge.brokers.contract.consuming import Delivery
from bridge.cancellations import Cancellation
from bridge.envelope import Envelope
from bridge.fastcgi import InvalidRequest
from bridge.foreign_messages.source import ForeignSource
from bridge.ledger import Letter, Transcript
from bridge.logger import log
from bridge.moments import Begun, Settled, Tell, hears
from bridge.outcome import Evidence, Failed, Outcome, OutOfTime, Reply, TooLate, Unsendable, outcome_of
from bridge.request import ReplayTarget, parameters
from bridge.settlement import Ack, DeadLetter, Drop, Halt, Policies, RetryAfter, Settlement, decide, expired_at
from bridge.trust import Trust
from worker.events.in_flight import EventInFlight
from worker.events.request_encoder import RequestEncoder
from worker.slots.slot import Request
from worker.slots.slots import Ran, Slots


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for the events of one queue: the seconds that a replay may take, the retry policies, how many events
    may be in flight in this worker (None: as many as it has slots), the queue's weight, the seconds that a replay may
    take if its listener asks for more time (None: it cannot), whether the queue is ordered, whether its events have to
    begin when they are sent, as those of a queue with a rate, how many of its events in a row may fail alike before
    others are held (None: any number), whether all of them are held then, whatever their names, and the older bridge
    whose programs get the requests that they know. Such programs send no verdict: their status and their exit status
    count."""

    deadline: float
    policies: Policies
    slots: int | None = None
    weight: int = 1
    deadline_at_most: float | None = None
    ordered: bool = False
    at_once: bool = False
    breaker: int | None = None
    held_as_a_whole: bool = False
    foreign: ForeignSource | None = None


class _NotSent(Exception):
    """The request is not sent, because of this evidence."""

    def __init__(self, evidence: Unsendable | TooLate) -> None:
        super().__init__(evidence)
        self.evidence = evidence


async def _not_begun(error: Exception) -> NoReturn:
    raise error


Halting = Callable[[str, Envelope, str], Awaitable[bool]]
"""Pauses a queue because of an event, for a reason. Returns True when no event of the queue begins any more."""

HALT_WAIT = 30.0
"""Seconds that an event waits if its listener halts a queue that cannot be paused."""


async def cannot_halt(queue: str, envelope: Envelope, why: str) -> bool:
    """Log that the queue goes on. Return False."""
    log.warning(
        "a listener halts the queue %s, which this worker cannot pause; the event waits %g s: %s", queue, HALT_WAIT, why
    )
    return False


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _nothing_begins(queue: str, token: str) -> None:
    """Do nothing when an event of a queue begins."""


def _nothing_follows(queue: str, name: str, event: str, outcome: Outcome) -> None:
    """Return that an event with this outcome is settled as any other."""


@dataclass(frozen=True, slots=True)
class Replayer:
    """Replays the events of the queues in `rules`. `trust` says which part of a reply decides the outcome. An event
    whose data exceeds `max_body` bytes (None: no limit) is not replayed: the app could not have deferred it. `halt`
    pauses a queue whose listener raised `Halt`. `cancellation` returns the cancellation of an event: if its attempt is
    cut short or runs out of time, it ends. `has_outcome` is called with the queue, the name, the id and the outcome of
    an event of a queue with a breaker. It returns the seconds after which the event comes back if its failure spends no
    attempt, None if its policy decides."""

    rules: Mapping[str, Rules]
    target: ReplayTarget
    tell: Tell
    trust: Trust = Trust.RECEIVER
    now: Callable[[], datetime] = field(default=_utc_now)
    max_body: int | None = None
    begins: Callable[[str, str], None] = _nothing_begins
    has_outcome: Callable[[str, str, str, Outcome], float | None] = _nothing_follows
    halt: Halting = field(default=cannot_halt)
    cancellation: Callable[[Envelope], Cancellation | None] = field(default=lambda envelope: None)
    _encoder: RequestEncoder = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_encoder", RequestEncoder(self.target, _foreign(self.rules)))

    def replay(self, held: EventInFlight, slots: Slots) -> Coroutine[Any, Any, None]:
        """Send the request of one event, at once if a slot is free. Return the coroutine that waits for the exchange
        and settles the event. It raises `NoSlotToCome` if the worker drains before the event has a slot, and any error
        of sending."""
        exchange: Coroutine[Any, Any, Ran]
        try:
            exchange = self._exchange(held, slots)
        except Exception as error:
            exchange = _not_begun(error)
        return self._settle(held, exchange)

    def _exchange(self, held: EventInFlight, slots: Slots) -> Coroutine[Any, Any, Ran]:
        """Send the request. An event can expire while it waits for its slot, so the slot calls `_begin` first."""
        envelope, queue = held.delivery.envelope, held.queue
        rules = self.rules[queue]
        request = self._request(envelope, queue, rules)
        self._check_time(envelope)
        return slots.exchange(request, rules.deadline, partial(self._begin, envelope, queue, held.token))

    async def _settle(self, held: EventInFlight, exchange: Coroutine[Any, Any, Ran]) -> None:
        envelope, queue = held.delivery.envelope, held.queue
        rules = self.rules[queue]
        evidence: Evidence
        try:
            evidence, seconds, child = await exchange
        except _NotSent as error:
            evidence, seconds, child = error.evidence, 0.0, None
        now = self.now()
        outcome = outcome_of(evidence, self.trust if rules.foreign is None else Trust.STATUS, now)
        held_for = None
        if rules.breaker is not None:
            held_for = self.has_outcome(queue, held.name, held.event_id, outcome)
        settlement = decide(envelope, outcome, rules.policies, seconds, now, held_for)
        if isinstance(evidence, OutOfTime) and (cancellation := self.cancellation(envelope)) is not None:
            settlement = DeadLetter(_spent(settlement, envelope), "cancelled", cancellation.error)
        if isinstance(settlement, Halt):
            settled = await self._halt(held, settlement)
        else:
            if isinstance(settlement, DeadLetter):
                verb = _bury(self._letter(settlement, envelope, queue, evidence, now))
            else:
                verb = _verb(settlement)
            settled = await held.settle(verb)
        if settled:
            self.tell(Settled(envelope, queue, outcome, settlement, seconds, child))

    def _request(self, envelope: Envelope, queue: str, rules: Rules) -> Request:
        event = envelope.event
        if self.max_body is not None and len(event.data) > self.max_body:
            why = f"the data is {len(event.data)} bytes: expected at most {self.max_body} (max_body)"
            raise _NotSent(Unsendable(why))
        try:
            encoded = self._encoder.encode(envelope, queue)
        except InvalidRequest as error:
            raise _NotSent(Unsendable(str(error))) from error
        return Request(
            event.name,
            event.id,
            queue,
            envelope.attempt_number,
            encoded,
            rules.deadline_at_most,
            at_once=rules.at_once or event.handling.expires is not None,  # it must not begin later than it is sent
        )

    def _letter(self, dead: DeadLetter, envelope: Envelope, queue: str, evidence: Evidence, now: datetime) -> Letter:
        transcript = _transcript(parameters(envelope, queue, self.target), evidence)
        return Letter(now, queue, dead.reason, dead.envelope, dead.error, transcript)

    def _begin(self, envelope: Envelope, queue: str, token: str) -> None:
        self._check_time(envelope)
        self.begins(queue, token)
        if hears(self.tell, Begun):
            self.tell(Begun(envelope, queue))

    def _check_time(self, envelope: Envelope) -> None:
        if envelope.event.handling.expires is None:
            return
        expired = expired_at(envelope, self.now())
        if expired is not None:
            raise _NotSent(TooLate(expired))

    async def _halt(self, held: EventInFlight, settlement: Halt) -> bool:
        """Pause the queue, and then put the event back, in an ordered queue to its place. If the queue cannot be
        paused, the event waits."""
        paused = await self.halt(held.queue, held.delivery.envelope, settlement.error.message)
        wait = timedelta(seconds=0 if paused else HALT_WAIT)
        return await held.settle(lambda delivery: delivery.retry(settlement.envelope, wait))

    async def bury(self, held: EventInFlight, settlement: DeadLetter) -> None:
        """Settle one event as a dead letter, without a replay."""
        envelope, queue = held.delivery.envelope, held.queue
        letter = Letter(self.now(), queue, settlement.reason, envelope, settlement.error)
        if await held.settle(_bury(letter)):
            self.tell(Settled(envelope, queue, Failed(settlement.error), settlement, 0.0))


Verb = Callable[[Delivery], Awaitable[None]]


def _verb(settlement: Ack | RetryAfter | Drop) -> Verb:
    match settlement:
        case Ack() | Drop():
            return _acknowledge
        case RetryAfter(envelope=envelope, wait=wait):
            return lambda delivery: delivery.retry(envelope, wait)
    assert_never(settlement)


def _acknowledge(delivery: Delivery) -> Awaitable[None]:
    return delivery.ack()


def _bury(letter: Letter) -> Verb:
    return lambda delivery: delivery.dead_letter(letter)


def _foreign(rules: Mapping[str, Rules]) -> Mapping[str, ForeignSource]:
    return {queue: rule.foreign for queue, rule in rules.items() if rule.foreign is not None}


def _spent(settlement: Settlement, envelope: Envelope) -> Envelope:
    """Return the envelope with the attempt that has just ended."""
    return settlement.envelope if isinstance(settlement, RetryAfter | DeadLetter) else envelope


def _transcript(fields: Mapping[str, str], evidence: Evidence) -> Transcript:
    if isinstance(evidence, Unsendable | TooLate):
        return Transcript(fields)
    error_output = _text(evidence.error_output)
    if isinstance(evidence, Reply):
        return Transcript(fields, evidence.status, evidence.headers, _text(evidence.body), error_output)
    return Transcript(fields, error_output=error_output)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
