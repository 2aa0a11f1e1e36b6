"""The classes for listeners: `Event`, which they are called with, and what they may raise: `Retry`, `Snooze`, `Reject`
and `Halt`.

`bridge.event` has the event as it travels; this module has one replay of it, as the app sees it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from werkzeug.datastructures import Headers

from app_adapter.given_progress import check_progress, extension_of
from bridge.request import Replay

if TYPE_CHECKING:
    from app_adapter.news import News

NEWS = "bridge.news"
"""The key of a child's `News` in the environ of a request."""


@dataclass(frozen=True)
class Event:
    """A deferred event, as a listener is called with it.

    `data` is the body, byte for byte. `time` (UTC) and `source` are the time of the `defer()` and the app that called
    it. `attempt` counts from 1, and begins at 1 again after a redrive of a dead letter. `id` never changes, so a
    listener can recognise a repeat. `headers` are the headers of the replay, as in Flask.
    """

    id: str
    name: str
    data: bytes
    content_type: str
    time: datetime
    source: str
    attempt: int
    queue: str
    headers: Headers = field(repr=False)
    _loads: Callable[[bytes], Any] = field(repr=False, compare=False)
    _news: "News | None" = field(default=None, repr=False, compare=False)

    @cached_property
    def payload(self) -> Any:
        """The decoded data if the content type is JSON, else the bytes. Raise `ValueError` for invalid JSON."""
        return self._loads(self.data) if is_json(self.content_type) else self.data

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Tell how far the listeners are, for `bridge-status` and watchers: `progress(3, 10, "resizing")`.

        At most four a second are sent, and a note is cut to 200 characters. In a pool that others run and in tests
        nothing is sent. Raise `TypeError` or `ValueError` for what is no number or text.
        """
        check_progress(done, total, note)
        if self._news is not None:
            self._news.progress(self.id, done, total, note)

    def extend(self, time: float | timedelta | str) -> bool:
        """Ask for more time: let this attempt run for `time` (seconds, a timedelta, or "30s") from now at least.

        Return True if it may. Return False if `deadline_at_most` of the queue allows less, in which case the attempt
        has that much, and where nobody can be asked: in a pool that others run, and in tests. The deadline never comes
        sooner than before. Raise `TypeError` or `ValueError` for what is no positive time.
        """
        seconds = extension_of(time)
        return self._news is not None and self._news.extend(self.id, seconds)


def event_of(replay: Replay, headers: Headers, loads: Callable[[bytes], Any], news: "News | None" = None) -> Event:
    """Return the replay as an `Event` for listeners. `loads` is the app's own JSON decoder. `news` carries
    the progress of the event to the worker of this child; without it, the progress is ignored."""
    event = Event.__new__(Event)
    # A frozen dataclass sets each field by a call of its own, and every replay makes one.
    event.__dict__.update(
        id=replay.id,
        name=replay.name,
        data=replay.data,
        content_type=replay.content_type,
        time=replay.time,
        source=replay.source,
        attempt=replay.attempt,
        queue=replay.queue,
        headers=headers,
        _loads=loads,
        _news=news,
    )
    return event


def is_json(content_type: str) -> bool:
    """Return True if a body of this content type is JSON: `application/json`, or any `…+json`."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


class Retry(Exception):
    """Raise it in a listener to ask for a later attempt, `after` seconds, a timedelta, or at an aware datetime.

    Without `after` the queue's retry policy decides the wait. The attempt counts, and after the policy's last attempt
    the event becomes a dead letter. Raise `TypeError` or `ValueError` for an `after` that is no time.
    """

    def __init__(self, after: float | timedelta | datetime | None = None, why: str = "") -> None:
        super().__init__(why or "the listener asked for a retry")
        self.after = _checked("Retry", after)

    def seconds(self, now: datetime) -> float | None:
        """Return the seconds to wait from `now`; None if the policy decides."""
        return _seconds(self.after, now)


class Snooze(Exception):
    """Raise it in a listener if the event cannot run now and is not to blame, as when an API answers 429.

    The event comes again `after` seconds, a timedelta, or at an aware datetime; without `after`, in 30 seconds. No
    attempt is spent, and no number of snoozes makes a dead letter. Raise `TypeError` or `ValueError` for an `after`
    that is no time.
    """

    def __init__(self, after: float | timedelta | datetime | None = None, why: str = "") -> None:
        super().__init__(why or "the listener snoozed the event")
        self.after = _checked("Snooze", after)

    def seconds(self, now: datetime) -> float | None:
        """Return the seconds to wait from `now`; None if the worker decides."""
        return _seconds(self.after, now)


class Reject(Exception):
    """Raise it in a listener if the event can never succeed. The event becomes a dead letter at once, with the reason
    `why`."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why or "the listener rejected the event")


class Halt(Exception):
    """Raise it in a listener if no event of this queue may run until a person has looked. The queue is paused for the
    reason `why`, and the event is put back; in an ordered queue it keeps its place. No attempt is spent."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why or "the listener halted the queue")


class AlreadyDone(Exception):
    """Raised by `events.once()` in a listener that has done this event before. Let it pass: the listener counts as
    finished, and what it did so far is to be rolled back."""


def _seconds(after: float | datetime | None, now: datetime) -> float | None:
    return max((after - now).total_seconds(), 0.0) if isinstance(after, datetime) else after


def _checked(name: str, after: object) -> float | datetime | None:
    """Return `after` as seconds, or as a datetime in UTC."""
    match after:
        case None:
            return None
        case datetime() if after.tzinfo is not None:
            return after.astimezone(UTC)
        case timedelta():
            seconds = after.total_seconds()
        case int() | float() if not isinstance(after, bool):
            seconds = float(after)
        case _:
            raise TypeError(
                f"{name}(after={after!r:.100}): expected seconds, a timedelta or a datetime with a time zone"
            )
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{name}(after={after!r:.100}): expected a time that is not negative")
    return seconds
