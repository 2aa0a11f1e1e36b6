"""The outcome: what one replay came to. A closed set, and the only place that makes one.

The evidence is an `Exchange`: a whole reply of the server, or the way in which the exchange broke. What is not
recognised is a failure, never a success.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import assert_never

from bridge.attempt import Error
from bridge.reply import Verdict, retry_after, verdict_of


class Trust(Enum):
    """Whose word counts. `RECEIVER`: only a reply with `Bridge-Outcome`. `STATUS`: for a pool whose program cannot
    send that header, the status alone (set by hand, for that pool)."""

    RECEIVER = "receiver"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: header names in lower case; `body` is its beginning only; `overlong`: the body went on past its
    Content-Length and was cut there."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    error_output: bytes = b""
    overlong: bool = False


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """No whole reply within `deadline` seconds."""

    deadline: float
    error_output: bytes = b""


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """The server ended in mid-reply, or broke the protocol; `why` says which."""

    why: str
    error_output: bytes = b""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The server did not take the request: refused, overloaded, or away. It is certain that nothing ran. `for_ever`: it
    never will, because it serves another role."""

    why: str
    for_ever: bool = False


Exchange = Reply | OutOfTime | BrokenOff | NotTaken


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The app's receiver said so."""

    release: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """It can never succeed."""

    error: Error
    release: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It failed, and may be tried again; `wait` (seconds) is the app's own wish for when. `finished` are the
    listeners that need not run again, None where the reply does not say."""

    error: Error
    wait: float | None = None
    finished: tuple[str, ...] | None = None
    release: str | None = None


@dataclass(frozen=True, slots=True)
class Overloaded:
    """Not now: this event waits `wait` seconds (None: the app did not say) and no attempt is spent."""

    error: Error
    wait: float | None = None
    release: str | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """No reply in time."""

    error: Error
    release: str | None = None


@dataclass(frozen=True, slots=True)
class Crashed:
    """The server ended in mid-reply, or broke the protocol."""

    error: Error
    release: str | None = None


@dataclass(frozen=True, slots=True)
class PoolUnavailable:
    """Nothing ran, and it is not the event's fault."""

    why: str


Settleable = Succeeded | Rejected | Failed | Overloaded | TimedOut | Crashed
Outcome = Settleable | PoolUnavailable


def outcome_of(exchange: Exchange, trust: Trust, now: datetime) -> Outcome:
    """Return what the replay came to. `now` makes a wait of a `Retry-After` date."""
    match exchange:
        case Reply():
            verdict = verdict_of(exchange.headers, now)
            if verdict is not None:
                return _of_verdict(verdict)
            return _of_status(exchange, now) if trust is Trust.STATUS else _unspoken(exchange)
        case OutOfTime(deadline=deadline):
            return TimedOut(Error("timeout", f"no reply within {deadline:g} s"))
        case BrokenOff(why=why):
            return Crashed(Error("crash", why))
        case NotTaken(why=why):
            return PoolUnavailable(why)
    assert_never(exchange)


def _of_verdict(verdict: Verdict) -> Outcome:
    error = verdict.error or Error(verdict.kind, f"the receiver answered {verdict.kind!r} and gave no reason")
    match verdict.kind:
        case "delivered":
            return Succeeded(verdict.release)
        case "reject":
            return Rejected(error, verdict.release)
        case "failed":
            return Failed(error, None, verdict.finished, verdict.release)
        case "retry":
            return Failed(error, verdict.retry_after, verdict.finished, verdict.release)
        case "overloaded":
            return Overloaded(error, verdict.retry_after, verdict.release)
    assert_never(verdict.kind)


def _of_status(reply: Reply, now: datetime) -> Outcome:
    status = reply.status
    error = Error("status", f"the app answered {status}: {_beginning(reply.body)}")
    if reply.overlong:
        return Failed(Error("status", f"the app answered {status} with more body than its Content-Length"))
    if 200 <= status < 300:
        return Succeeded()
    if status in (429, 503):
        return Overloaded(error, retry_after(reply.headers, now))
    if 400 <= status < 500 and status not in (408, 425):
        return Rejected(error)
    if status >= 500 or status in (408, 425):
        return Failed(error)
    return _unspoken(reply)


def _unspoken(reply: Reply) -> Failed:
    location = reply.headers.get("location")
    towards = f" with Location {location!r:.200}" if location is not None else ""
    said = reply.headers.get("bridge-outcome")
    unknown = f" with Bridge-Outcome {said!r:.80}, which is none of the known ones," if said is not None else ""
    return Failed(
        Error(
            "no verdict",
            f"the app answered instead of the receiver: status {reply.status}{towards}{unknown}: "
            f"{_beginning(reply.body)}",
        )
    )


def _beginning(body: bytes) -> str:
    text = body[:200].decode("utf-8", "backslashreplace")
    return repr(text) if text else "no body"
