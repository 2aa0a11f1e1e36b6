"""Internal events: moments of a worker as events, for the queues of a site that ask for them. Pure.

| name | of the moment | payload, besides `worker` |
|---|---|---|
| `bridge.dead_letter.REASON` | `Settled` with a `DeadLetter` | `id`, `name`, `queue`, `reason`, `attempts`, `error` |
| `bridge.child.lost` | `ChildLost` | `pid`, `why`, `requests`, `event` |
| `bridge.broker.lost` | `BrokerBack`, because before nothing can be published | `seconds` |
| `bridge.queue.paused` | `Paused`, if the pause is not old | `queue`, `events`, `until`, `who`, `why`, `event` |
| `bridge.queue.resumed` | `Resumed` | as `bridge.queue.paused` |
| `bridge.queue.held` | `BreakerOpened` | `queue`, `name`, `events`, `error` |
| `bridge.queue.freed` | `BreakerClosed` | `queue`, `name`, `seconds` |
| `bridge.worker.missing` | `WorkerMissing` | `host`, `pid`, `app`, `seen` |

The event of a dead letter also has the letter's number in the ledger, as `number`. The broker does not tell it with the
confirm, so the publisher of the event looks it up.

An internal event causes no further one: neither its own dead letter, nor the loss of a child that ran it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bridge.attempt import Error
from bridge.controls import Pause
from bridge.event import format_time
from bridge.moments import (
    BreakerClosed,
    BreakerOpened,
    BrokerBack,
    ChildLost,
    Moment,
    Paused,
    Resumed,
    Settled,
    WorkerMissing,
)
from bridge.queues import Queue
from bridge.settlement import DeadLetter
from bridge.topics import DEAD_LETTER, WORKER_MISSING, is_reserved

NEW_FOR = timedelta(minutes=1)
"""The age up to which a pause is published as an event. A worker that starts later reads older pauses too, which other
workers have published."""


class EventOfQueue(NamedTuple):
    """An event that a queue took, by its id."""

    event_id: str
    queue: str


@dataclass(frozen=True, slots=True)
class InternalEvent:
    """The name of an internal event, and its payload as a JSON object. `fact` identifies what each worker of the site
    publishes once: the events of all have one id. None for what only one worker knows. `letter` says whose dead letter
    the event is about; the payload lacks its number."""

    name: str
    payload: Mapping[str, Any]
    fact: str | None = None
    letter: EventOfQueue | None = None


def internal_event_of(moment: Moment, now: datetime) -> InternalEvent | None:
    """Return the internal event that a moment causes `now` (UTC); None if it causes none."""
    if isinstance(moment, Paused) and now - moment.pause.time > NEW_FOR:
        return None
    make = _MAKERS.get(type(moment))
    return None if make is None else make(moment)


def asks_for_internal_events(queues: Iterable[Queue]) -> bool:
    """Return True if a queue has a pattern that can match an internal event."""
    return any(is_reserved(pattern) for queue in queues for pattern in queue.patterns)


def _dead_letter(settled: Settled) -> InternalEvent | None:
    dead = settled.settlement
    if not isinstance(dead, DeadLetter) or is_reserved(settled.event.name):
        return None
    return InternalEvent(
        DEAD_LETTER + dead.reason.replace(" ", "_"),
        {
            "id": settled.event.id,
            "name": settled.event.name,
            "queue": settled.queue,
            "reason": dead.reason,
            "attempts": settled.attempt,
            "error": _fields(dead.error),
        },
        letter=EventOfQueue(settled.event.id, settled.queue),
    )


def _child_lost(lost: ChildLost) -> InternalEvent | None:
    if lost.event is not None and is_reserved(lost.event):
        return None
    payload = {"pid": lost.pid, "why": lost.why, "requests": lost.requests, "event": lost.event}
    return InternalEvent("bridge.child.lost", payload)


def _broker_lost(back: BrokerBack) -> InternalEvent:
    return InternalEvent("bridge.broker.lost", {"seconds": round(back.seconds, 3)})


def _paused(paused: Paused) -> InternalEvent:
    return _about_pause("bridge.queue.paused", paused.pause)


def _resumed(resumed: Resumed) -> InternalEvent:
    return _about_pause("bridge.queue.resumed", resumed.pause)


def _held(opened: BreakerOpened) -> InternalEvent:
    payload = {"queue": opened.queue, "name": opened.name, "events": opened.events, "error": _fields(opened.error)}
    return InternalEvent("bridge.queue.held", payload)


def _freed(closed: BreakerClosed) -> InternalEvent:
    payload = {"queue": closed.queue, "name": closed.name, "seconds": round(closed.seconds, 3)}
    return InternalEvent("bridge.queue.freed", payload)


def _fields(error: Error) -> Mapping[str, str | None]:
    error = error.bounded()
    return {"type": error.type, "message": error.message, "traceback": error.traceback}


def _worker_missing(missing: WorkerMissing) -> InternalEvent:
    seen = format_time(missing.seen)
    payload = {"host": missing.host, "pid": missing.pid, "app": missing.app, "seen": seen}
    return InternalEvent(WORKER_MISSING, payload, fact=f"{missing.host} {missing.pid} {seen}")


def _about_pause(name: str, pause: Pause) -> InternalEvent:
    until = pause.until and format_time(pause.until)
    payload = {"queue": pause.queue, "events": pause.events, "until": until, "who": pause.who, "why": pause.why}
    return InternalEvent(name, {**payload, "event": pause.event}, fact=pause.id)


_MAKERS: Mapping[type, Callable[[Any], InternalEvent | None]] = {
    Settled: _dead_letter,
    ChildLost: _child_lost,
    BrokerBack: _broker_lost,
    Paused: _paused,
    Resumed: _resumed,
    BreakerOpened: _held,
    BreakerClosed: _freed,
    WorkerMissing: _worker_missing,
}
