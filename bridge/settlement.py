"""The settlement: what is done about an outcome. A pure decision; the broker carries it out, hooks hear of it last."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, assert_never

from bridge.attempt import Attempt, Error
from bridge.envelope import Envelope
from bridge.errors import PolicyError
from bridge.event import after
from bridge.outcome import Crashed, Failed, Overloaded, Rejected, Settleable, Succeeded, TimedOut
from bridge.retry_policy import (
    GiveUp,
    ReplayCrashed,
    ReplayError,
    ReplayFailed,
    ReplayTimedOut,
    RetryPolicy,
    Round,
    Wait,
)

Reason = Literal[
    "rejected",  # the app said that it can never succeed
    "attempts used up",  # the policy's stop
    "not retried",  # the policy's retry does not take this error
    "overloaded too long",
    "unroutable",  # matured, and no queue takes it any more
    "not an event",  # its name breaks the grammar
    "unreadable",  # an envelope of a version that this program does not know
    "delivery limit",  # delivered so often without a settlement that the broker gave up
    "expired",  # its publisher, a foreign one, had limited its time in the queue
]

OVERLOADED_WAIT = 30.0
OVERLOADED_WAIT_AT_MOST = 3600.0
OVERLOADED_AT_MOST = timedelta(days=4)


@dataclass(frozen=True, slots=True)
class Ack:
    """It is delivered."""


@dataclass(frozen=True, slots=True)
class Retry:
    """This envelope takes the place of the delivery, not before `due`. `note` says what an operator should know."""

    envelope: Envelope
    due: datetime
    error: Error
    note: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """It goes to the ledger, and stays there until somebody decides."""

    envelope: Envelope
    reason: Reason
    error: Error
    note: str | None = None


Settlement = Ack | Retry | DeadLetter


@dataclass(frozen=True, slots=True)
class Policies:
    """The queue's policy, and the one that answers where the queue's own raises."""

    own: RetryPolicy
    fallback: RetryPolicy


def decide(envelope: Envelope, outcome: Settleable, policies: Policies, started: datetime, now: datetime) -> Settlement:
    """Return the settlement of a replay that ran from `started` to `now`."""
    match outcome:
        case Succeeded():
            return Ack()
        case Overloaded():
            return _wait_out(envelope, outcome, now)
        case Rejected():
            spent = _spend(envelope, outcome, started, now)
            return DeadLetter(spent, "rejected", outcome.error)
        case Failed() | TimedOut() | Crashed():
            spent = _spend(envelope, outcome, started, now)
            return _by_policy(spent, outcome, policies, now)
    assert_never(outcome)


def _by_policy(
    envelope: Envelope, outcome: Failed | TimedOut | Crashed, policies: Policies, now: datetime
) -> Retry | DeadLetter:
    round = Round(envelope.spent, max((now - envelope.round_began).total_seconds(), 0.0), envelope.waited)
    own_wait = outcome.wait if isinstance(outcome, Failed) else None
    failure = _failure(outcome)
    note = None
    try:
        answer = policies.own.ask(round, failure, own_wait=own_wait)
    except PolicyError as error:
        note = f"{error}; the default policy answered instead"
        answer = policies.fallback.ask(round, failure, own_wait=own_wait)
    match answer:
        case Wait(seconds=seconds):
            next_try = replace(envelope, waited=envelope.waited + seconds)
            return Retry(next_try, after(now, seconds), outcome.error, note)
        case GiveUp(exhausted=exhausted):
            return DeadLetter(envelope, "attempts used up" if exhausted else "not retried", outcome.error, note)
    assert_never(answer)


def _wait_out(envelope: Envelope, outcome: Overloaded, now: datetime) -> Retry | DeadLetter:
    since = envelope.overloaded_since or now
    if now - since >= OVERLOADED_AT_MOST:
        return DeadLetter(envelope, "overloaded too long", outcome.error)
    wait = OVERLOADED_WAIT if outcome.wait is None else outcome.wait
    wait = min(max(wait, 1.0), OVERLOADED_WAIT_AT_MOST)
    waiting = replace(envelope, overloaded_since=since, deferred_again=envelope.deferred_again + 1)
    return Retry(waiting, after(now, wait), outcome.error)


def _spend(
    envelope: Envelope, outcome: Rejected | Failed | TimedOut | Crashed, started: datetime, now: datetime
) -> Envelope:
    attempt = Attempt(
        round=envelope.round,
        number=envelope.attempt_number,
        started=started,
        seconds=(now - started).total_seconds(),
        outcome=type(outcome).__name__,
        release=outcome.release,
        error=outcome.error,
    )
    finished = outcome.finished if isinstance(outcome, Failed) and outcome.finished is not None else ()
    return replace(
        envelope.remember(attempt),
        spent=envelope.spent + 1,
        overloaded_since=None,
        finished=tuple(dict.fromkeys((*envelope.finished, *finished))),
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
