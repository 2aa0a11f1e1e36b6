"""The settlement: the decision about a delivery after its replay. Pure: the broker carries the settlement out, and then
the watchers receive it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, assert_never

from bridge.attempt import Attempt, Error
from bridge.attempt_text import MAX_SECONDS
from bridge.envelope import Envelope
from bridge.errors import PolicyError
from bridge.event import after
from bridge.outcome import Crashed, Failed, Halted, NotBegun, Outcome, Overloaded, Rejected, Succeeded, TimedOut
from bridge.reply import fitting_names
from bridge.retry_policy import (
    GiveUp,
    ReplayCrashed,
    ReplayError,
    ReplayFailed,
    ReplayTimedOut,
    RetryPolicy,
    Round,
    Wait,
    from_table,
)
from bridge.retry_table import RetryTable

Reason = Literal[
    "rejected",  # the app's receiver rejected the event, or its request cannot be sent
    "attempts used up",  # the policy's `stop` ended the retries
    "not retried",  # the policy's `retry` does not match the error
    "overloaded too long",
    "unroutable",  # the event became due, and no queue takes its name any more
    "not an event",  # the event name breaks the grammar
    "forged name",  # the event was published under another name than its own
    "unreadable",  # the envelope is damaged, or of a version that this program does not know
    "delivery limit",  # the broker gave up after too many deliveries without a settlement
    "internal error",  # a program of the bridge failed with the event, twice
    "set aside",  # a worker could neither run nor replace the message, and RabbitMQ moved it to the ledger as it was
    "cancelled",  # a person or the app cancelled the event before it ended
    "expired",  # the event did not begin within the time that its publisher had set
]

OVERLOADED_WAIT = 30.0
OVERLOADED_WAIT_AT_MOST = 3600.0
OVERLOADED_AT_MOST = timedelta(days=4)
"""The time after which an answer from in front of the receiver is a mistake of the site. A snooze has no such limit:
with 10 events a second, the last of a backlog of five million has been snoozed for six days, and all is well."""
SNOOZED_AT_LEAST = 0.05
"""Seconds. A listener that snoozes for no time would run in a hot loop."""


@dataclass(frozen=True, slots=True)
class Ack:
    """The event succeeded: the delivery is acknowledged."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """This envelope replaces the delivery, and is delivered after `wait` at the earliest. It is a wait and not a time,
    because the broker counts it by its own clock. `note` is a sentence for the operator, or None. `snoozed` is True if
    the app's receiver asked for the wait, so that nothing failed."""

    envelope: Envelope
    wait: timedelta
    error: Error
    note: str | None = None
    snoozed: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The event goes to the ledger as a dead letter, and stays there until a person redrives or discards it. `note` is
    as in `RetryAfter`."""

    envelope: Envelope
    reason: Reason
    error: Error
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """The delivery is acknowledged although the event did not run, because it has expired and its queue drops expired
    events."""

    error: Error


@dataclass(frozen=True, slots=True)
class Halt:
    """The queue is paused, with the message of `error` as the reason. Then this envelope replaces the delivery; in an
    ordered queue it keeps its place."""

    envelope: Envelope
    error: Error


_ACK = Ack()

Settlement = Ack | RetryAfter | DeadLetter | Drop | Halt


def without_jitter(table: RetryTable) -> RetryPolicy:
    """Return the policy of a table whose waits are never longer at random."""
    return from_table(table, lambda: 0.0)


@dataclass(frozen=True, slots=True)
class Policies:
    """The queue's own policy, and the fallback policy, which decides if the own policy raises. With `drops_expired` an
    expired event becomes no dead letter. `by_table` makes the policy of an event or a listener, by default without
    jitter."""

    own: RetryPolicy
    fallback: RetryPolicy
    drops_expired: bool = False
    by_table: Callable[[RetryTable], RetryPolicy] = without_jitter


def expired_at(envelope: Envelope, now: datetime) -> datetime | None:
    """Return the time at which the event expired; None if it may begin `now`. A redriven event does not expire, because
    a person decided that it runs."""
    expires = envelope.event.handling.expires
    return expires if expires is not None and now >= expires and envelope.round == 1 else None


def decide(
    envelope: Envelope,
    outcome: Outcome,
    policies: Policies,
    seconds: float,
    now: datetime,
    held_for: float | None = None,
) -> Settlement:
    """Return the settlement of a replay that ended `now` and took this number of seconds. `held_for`: a breaker holds
    the event for so long, and a failure spends no attempt."""
    match outcome:
        case Succeeded():
            return _ACK
        case Overloaded():
            return _snooze(envelope, outcome, now) if outcome.snoozed else _wait_out(envelope, outcome, now)
        case Halted():
            return Halt(_again(envelope, outcome.finished), outcome.error)
        case Rejected():
            spent = _spend(envelope, outcome, seconds, now)
            return DeadLetter(spent, "rejected", outcome.error)
        case Failed() | TimedOut() | Crashed() if held_for is not None:
            own_wait = outcome.wait if isinstance(outcome, Failed) else None
            wait = _wait(now, max(held_for, own_wait or 0.0))
            held = _noted(envelope, outcome, seconds, now)._replace(deferred_again=envelope.deferred_again + 1)
            return RetryAfter(held, wait, outcome.error)
        case Failed() | TimedOut() | Crashed():
            spent = _spend(envelope, outcome, seconds, now)
            return _by_policy(spent, outcome, policies, now)
        case NotBegun():
            return Drop(outcome.error) if policies.drops_expired else DeadLetter(envelope, "expired", outcome.error)
    assert_never(outcome)


def _by_policy(
    envelope: Envelope, outcome: Failed | TimedOut | Crashed, policies: Policies, now: datetime
) -> RetryAfter | DeadLetter:
    round = Round(envelope.spent, max((now - envelope.round_began).total_seconds(), 0.0), envelope.waited)
    own_wait = outcome.wait if isinstance(outcome, Failed) else None
    failure = _failure(outcome)
    note = None
    try:
        answer = _policy(envelope, outcome, policies).ask(round, failure, own_wait=own_wait)
    except PolicyError as error:
        note = f"{error}; the default policy decides instead"
        answer = policies.fallback.ask(round, failure, own_wait=own_wait)
    match answer:
        case Wait(seconds=seconds):
            next_try = envelope._replace(waited=min(envelope.waited + seconds, MAX_SECONDS))
            return RetryAfter(next_try, _wait(now, seconds), outcome.error, note)
        case GiveUp(exhausted=exhausted):
            return DeadLetter(envelope, "attempts used up" if exhausted else "not retried", outcome.error, note)
    assert_never(answer)


def _policy(envelope: Envelope, outcome: Failed | TimedOut | Crashed, policies: Policies) -> RetryPolicy:
    """Return the policy that decides: that of the event, else of the listeners that failed, else of the queue."""
    table = envelope.event.handling.retry or (outcome.retry if isinstance(outcome, Failed) else None)
    return policies.own if table is None else policies.by_table(table)


def _wait_out(envelope: Envelope, outcome: Overloaded, now: datetime) -> RetryAfter | DeadLetter:
    since = envelope.overloaded_since or now
    if now - since >= OVERLOADED_AT_MOST:
        return DeadLetter(envelope, "overloaded too long", outcome.error)
    wait = OVERLOADED_WAIT if outcome.wait is None else outcome.wait
    wait = min(max(wait, 1.0), OVERLOADED_WAIT_AT_MOST)
    waiting = _again(envelope, ())._replace(overloaded_since=since)
    return RetryAfter(waiting, _wait(now, wait), outcome.error)


def _snooze(envelope: Envelope, outcome: Overloaded, now: datetime) -> RetryAfter:
    wait = OVERLOADED_WAIT if outcome.wait is None else max(outcome.wait, SNOOZED_AT_LEAST)
    waiting = _again(envelope, outcome.finished)._replace(overloaded_since=None)
    return RetryAfter(waiting, _wait(now, wait), outcome.error, snoozed=True)


def _again(envelope: Envelope, finished: tuple[str, ...]) -> Envelope:
    """Return the envelope of an event that is delivered again without having spent an attempt."""
    names = fitting_names((*envelope.finished, *finished))
    return envelope._replace(deferred_again=envelope.deferred_again + 1, finished=names)


def _wait(now: datetime, seconds: float) -> timedelta:
    """Return the wait, cut so that it ends at `datetime.max` at the latest."""
    return after(now, seconds) - now


def _spend(
    envelope: Envelope, outcome: Rejected | Failed | TimedOut | Crashed, seconds: float, now: datetime
) -> Envelope:
    return _noted(envelope, outcome, seconds, now)._replace(spent=envelope.spent + 1)


def _noted(
    envelope: Envelope, outcome: Rejected | Failed | TimedOut | Crashed, seconds: float, now: datetime
) -> Envelope:
    """Return the envelope with the attempt in its history, but not spent."""
    attempt = Attempt(
        round=envelope.round,
        number=envelope.attempt_number,
        started=now - timedelta(seconds=seconds),
        seconds=seconds,
        outcome=type(outcome).__name__,
        release=outcome.release,
        error=outcome.error,
    )
    finished = outcome.finished if isinstance(outcome, Failed) and outcome.finished is not None else ()
    return envelope.remember(attempt)._replace(
        overloaded_since=None,
        finished=fitting_names((*envelope.finished, *finished)),
    )


def _failure(outcome: Failed | TimedOut | Crashed) -> ReplayError:
    match outcome:
        case Failed():
            return ReplayFailed(outcome.error)
        case TimedOut():
            return ReplayTimedOut(outcome.error)
        case Crashed():
            return ReplayCrashed(outcome.error)
    assert_never(outcome)
