"""Moments: frozen facts about what just happened. Watchers receive them.

A watcher receives a moment after the fact, so a watcher cannot change what happens. docs/watching.md says in which
process each moment occurs. This file imports only `app_moments` at run time, so that a pool does not load the retry
policies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.app_moments import Deferred, Replayed, Replaying, Spooled, hears, tell_nobody

if TYPE_CHECKING:
    from datetime import datetime

    from bridge.attempt import Error
    from bridge.controls import Pause
    from bridge.envelope import Envelope
    from bridge.event import Event
    from bridge.outcome import Outcome
    from bridge.settlement import Settlement

__all__ = [
    "Begun",
    "BreakerClosed",
    "BreakerOpened",
    "BrokerBack",
    "BrokerLost",
    "ChildLost",
    "ChildSeated",
    "Deferred",
    "Moment",
    "Paused",
    "Progressed",
    "Relayed",
    "Replayed",
    "Replaying",
    "Resumed",
    "Settled",
    "Spooled",
    "Taken",
    "Tell",
    "Watcher",
    "WorkerMissing",
    "hears",
    "tell_nobody",
]


@dataclass(frozen=True, slots=True)
class Relayed:
    """The broker confirmed an event from the spool. `due` is as for `Deferred`.

    If the relay is killed before it deletes the event from the spool, the event is relayed again with the same id.
    """

    event: Event
    due: datetime | None


@dataclass(frozen=True, slots=True)
class _OfDelivery:
    """A fact about one delivery: the event with its history, and the queue that it came from."""

    envelope: Envelope
    queue: str

    @property
    def event(self) -> Event:
        """The event, which is the same in every attempt."""
        return self.envelope.event

    @property
    def attempt(self) -> int:
        """The number of this attempt within its round, from 1."""
        return self.envelope.attempt_number


@dataclass(frozen=True, slots=True)
class Taken(_OfDelivery):
    """The worker accepted a delivery and replays it as soon as a slot is free."""


@dataclass(frozen=True, slots=True)
class Begun(_OfDelivery):
    """The delivery has a slot and its request is about to be sent.

    If the pool does not accept the request, the delivery begins again later. That spends no attempt.
    """


@dataclass(frozen=True, slots=True)
class Settled(_OfDelivery):
    """The broker confirmed the settlement of one attempt.

    `envelope` is the envelope that was replayed, `outcome` the outcome of the replay, and `settlement` the decision
    about the delivery: `Ack`, `RetryAfter` (with `wait`), `DeadLetter` (with `reason`), `Drop` (the event expired, and
    its queue drops expired events) or `Halt` (a listener halted the queue). `seconds` is the duration of the replay.
    `child` is the process id of the worker's child that ran it, None if no own child did.
    """

    outcome: Outcome
    settlement: Settlement
    seconds: float
    child: int | None = None

    @property
    def error(self) -> Error | None:
        """The error of the attempt: type, message, and the app's traceback if it has one. None after a success."""
        error: Error | None = getattr(self.settlement, "error", None)
        return error

    @property
    def release(self) -> str | None:
        """The release of the app that ran the attempt, None if the app does not set a release."""
        return self.outcome.release


@dataclass(frozen=True, slots=True)
class Progressed:
    """A listener has told the progress of the event that runs in a child of this worker: `done` of `total` (None:
    unknown), and a `note` for people, which may be empty. Told at most some times a second for each child."""

    name: str
    id: str
    queue: str
    attempt: int
    done: float
    total: float | None
    note: str


@dataclass(frozen=True, slots=True)
class ChildSeated:
    """A child of the pool takes requests from now on. `boot_seconds` is the duration of its boot and warm-up."""

    pid: int
    release: str | None
    boot_seconds: float


@dataclass(frozen=True, slots=True)
class ChildLost:
    """A child that was still needed ended or is about to be ended, because of a crash or a timeout. Another child takes
    its place.

    `why` is a sentence for people; `requests` is the number of requests that the child had served. `event` is the name
    of the event that the child ran; None if it ran none, and for a child of `bridge-pool`. A child that is recycled,
    reloaded or stopped in good order is not lost.
    """

    pid: int
    why: str
    requests: int
    event: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerLost:
    """The worker has lost the broker and takes events from no queue. `why` is a sentence for people, or empty if the
    reason is not known."""

    why: str


@dataclass(frozen=True, slots=True)
class BrokerBack:
    """The worker takes events again, `seconds` after `BrokerLost`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Paused:
    """This worker begins no event of a paused queue, or none that matches a paused pattern, from now on. `pause` says
    who paused what, why, and until when."""

    pause: Pause


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """This worker holds the events with this `name` in a queue from now on, or all of the queue (None): `events`
    different ones in a row failed alike, the last one with `error`, in this worker or in another one. Single events
    probe."""

    queue: str
    name: str | None
    events: int
    error: Error


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """A held event succeeded, in this worker or in another one, after `seconds`: the events with this `name`, or all of
    the queue (None), run again."""

    queue: str
    name: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """A pause ended for this worker: a person resumed it, or its time is over."""

    pause: Pause


@dataclass(frozen=True, slots=True)
class WorkerMissing:
    """A worker of the site has recorded no end and does not answer: it was killed, hangs, or cannot reach the broker.
    `seen` is the time (UTC) of its last record. Told by one worker, if a queue takes `bridge.worker.missing`."""

    host: str
    pid: int
    app: str
    seen: datetime


Moment = (
    Deferred
    | Spooled
    | Relayed
    | Taken
    | Begun
    | Settled
    | Progressed
    | Replaying
    | Replayed
    | ChildSeated
    | ChildLost
    | BrokerLost
    | BrokerBack
    | BreakerOpened
    | BreakerClosed
    | Paused
    | Resumed
    | WorkerMissing
)

Watcher = Callable[[Moment], object]
"""A callable that receives every moment of its process and decides nothing. It must ignore types that it does not know,
because later versions have further types of moments."""

Tell = Callable[[Moment], None]
"""A callable that passes a moment to all watchers of this process. It does not raise what a watcher raised."""
