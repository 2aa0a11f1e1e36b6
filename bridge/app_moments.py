"""The moments that occur in the processes of an app, and what receives moments. `moments` has them all.

A web process imports this file alone, so it imports nothing else of the bridge at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from bridge.event import Event
    from bridge.reply import Verdict


@dataclass(frozen=True, slots=True)
class Deferred:
    """The broker confirmed an event, and `defer()` is about to return its id.

    `due` is the earliest time of the first attempt (UTC), None if the event is due at once. `seconds` is the duration
    of the publish.
    """

    event: Event
    due: datetime | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Spooled:
    """The broker did not confirm the event in time, so the event was written to the spool of this host, and `defer()`
    is about to return. The fields are those of `Deferred`; `seconds` includes the time spent on the broker."""

    event: Event
    due: datetime | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Replaying:
    """A child of the app is about to call the listeners of an event. `attempt` counts from 1."""

    event: Event
    attempt: int
    queue: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """The app has handled an event, its teardown functions included, and the reply is about to be sent.

    `verdict` is the reply: its `kind` ("delivered", "failed", "retry", "reject" …) and its `error`. `seconds` is the
    time since `Replaying`. The worker decides later whether the event is retried. A child that is killed tells no
    `Replayed`.
    """

    event: Event
    attempt: int
    queue: str
    verdict: Verdict
    seconds: float


def tell_nobody(moment: object) -> None:
    """Ignore a moment. For processes and tests without watchers."""


def hears(tell: object, kind: type) -> bool:
    """Return whether a watcher, or all watchers behind a `Tell`, receive moments of this type. They say so by a method
    `hears`; without it they receive all. Ask before a moment is made that many events have."""
    asked: Callable[[type], bool] | None = getattr(tell, "hears", None)
    return asked is None or asked(kind)
