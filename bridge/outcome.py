"""The outcome of one replay: a closed set of types, and the function that derives an outcome from the evidence.

The evidence is an `Exchange` (a whole reply of the server, or the way in which the exchange broke), `Unsendable` or
`TooLate`. A reply that is not recognised is a failure, never a success.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from bridge.attempt import Error
from bridge.event import format_time
from bridge.reply import Verdict, kind_in, release_in, retry_after, verdict_of
from bridge.retry_table import RetryTable
from bridge.trust import Trust


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply. Header names are in lower case. `body` is the beginning of the body only. `overlong` is True if
    the body was longer than its Content-Length and was cut there. `app_status` is the exit status of the program."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    error_output: bytes = b""
    overlong: bool = False
    app_status: int = 0


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """The server sent no whole reply within `deadline` seconds."""

    deadline: float
    error_output: bytes = b""


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """The server ended before the end of its reply, or broke the protocol; `why` says which."""

    why: str
    error_output: bytes = b""


@dataclass(frozen=True, slots=True)
class Unsendable:
    """The request was not sent, because FastCGI cannot carry it, or because the event's data exceeds `max_body`; `why`
    says which. A retry would fail again."""

    why: str


@dataclass(frozen=True, slots=True)
class TooLate:
    """The request was not sent, because the event expired at this time."""

    expired: datetime


Exchange = Reply | OutOfTime | BrokenOff
Evidence = Exchange | Unsendable | TooLate
"""All that can be known about one replay."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The app's receiver reported success."""

    release: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The event can never succeed: the app's receiver rejected it, or its request cannot be sent."""

    error: Error
    release: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The replay failed and may be retried. `wait` is the wait in seconds that the app asked for. `finished` are the
    listeners that need not run again, None if the reply does not name them. `retry` is the retry policy of the
    listeners that failed."""

    error: Error
    wait: float | None = None
    finished: tuple[str, ...] | None = None
    release: str | None = None
    retry: RetryTable | None = None


@dataclass(frozen=True, slots=True)
class Overloaded:
    """The app cannot run the event now. The event waits `wait` seconds (None: the app did not ask for a wait), and no
    attempt is spent. `snoozed` is True if the app's receiver asked for it, as by `Snooze`; then `finished` are the
    listeners that need not run again."""

    error: Error
    wait: float | None = None
    release: str | None = None
    snoozed: bool = False
    finished: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Halted:
    """A listener wants no event of the queue to begin until a person has looked. `finished` are the listeners that need
    not run again."""

    error: Error
    finished: tuple[str, ...] = ()
    release: str | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The server sent no whole reply in time."""

    error: Error
    release: str | None = None


@dataclass(frozen=True, slots=True)
class Crashed:
    """The server ended before the end of its reply, or broke the protocol."""

    error: Error
    release: str | None = None


@dataclass(frozen=True, slots=True)
class NotBegun:
    """The replay did not begin, and never will, because the event has expired."""

    error: Error
    release: str | None = None


Outcome = Succeeded | Rejected | Failed | Overloaded | Halted | TimedOut | Crashed | NotBegun


_OVERLOADED = (429, 503)
"""Too Many Requests and Service Unavailable (RFC 6585, RFC 9110)."""


def outcome_of(evidence: Evidence, trust: Trust, now: datetime) -> Outcome:
    """Return the outcome of a replay. `now` is used to turn a `Retry-After` date into a wait."""
    match evidence:
        case Reply():
            if kind_in(evidence.headers) == "delivered":  # most replies; the rest of the verdict does not matter
                return Succeeded(release_in(evidence.headers))
            verdict = verdict_of(evidence.headers, now)
            if verdict is not None:
                return _of_verdict(verdict)
            return _of_status(evidence, now) if trust is Trust.STATUS else _no_verdict(evidence, now)
        case OutOfTime(deadline=deadline):
            return TimedOut(Error("timeout", f"no reply within {deadline:g} s"))
        case BrokenOff(why=why):
            return Crashed(Error("crash", why))
        case Unsendable(why=why):
            return Rejected(Error("unsendable", why))
        case TooLate(expired=expired):
            return NotBegun(Error("expired", f"not begun before {format_time(expired)}"))
    assert_never(evidence)


def _of_verdict(verdict: Verdict) -> Outcome:
    error = verdict.error or Error(verdict.kind, f"the receiver answered {verdict.kind!r} and gave no reason")
    match verdict.kind:
        case "delivered":
            return Succeeded(verdict.release)
        case "reject":
            return Rejected(error, verdict.release)
        case "failed":
            return Failed(error, None, verdict.finished, verdict.release, verdict.retry)
        case "retry":
            return Failed(error, verdict.retry_after, verdict.finished, verdict.release, verdict.retry)
        case "overloaded":
            return Overloaded(error, verdict.retry_after, verdict.release, True, verdict.finished)
        case "halt":
            return Halted(error, verdict.finished, verdict.release)
    assert_never(verdict.kind)


def _of_status(reply: Reply, now: datetime) -> Outcome:
    status = reply.status
    error = Error("status", f"the app answered {status}: {_beginning(reply.body)}")
    if reply.overlong:
        return Failed(Error("status", f"the app answered {status} with more body than its Content-Length"))
    if 200 <= status < 300 and reply.app_status:
        return Failed(Error("status", f"the program answered {status}, and its exit status is {reply.app_status}"))
    if 200 <= status < 300:
        return Succeeded()
    if status in _OVERLOADED:
        return Overloaded(error, retry_after(reply.headers, now))
    if 400 <= status < 500 and status not in (408, 425):
        return Rejected(error)
    if status >= 500 or status in (408, 425):
        return Failed(error)
    return _no_verdict(reply, now)


def _no_verdict(reply: Reply, now: datetime) -> Failed | Overloaded:
    """Return the outcome of an answer that the receiver did not make. A rate limit or a maintenance page in front of it
    says that the event did not run, so no attempt is spent."""
    location = reply.headers.get("location")
    towards = f" with Location {location!r:.200}" if location is not None else ""
    outcome = reply.headers.get("bridge-outcome")
    unknown = f" with the unknown Bridge-Outcome {outcome!r:.80}" if outcome is not None else ""
    error = Error(
        "no verdict",
        f"the app answered instead of the receiver: status {reply.status}{towards}{unknown}: {_beginning(reply.body)}",
    )
    if reply.status in _OVERLOADED and outcome is None:
        return Overloaded(error, retry_after(reply.headers, now))
    return Failed(error)


def _beginning(body: bytes) -> str:
    text = body[:200].decode("utf-8", "backslashreplace")
    return repr(text) if text else "no body"
