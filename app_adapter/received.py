"""What a listener is given, and what it may raise: `Event`, `Retry` and `Reject`.

Not the event as it travels (`bridge.event`): this is one replay of it, seen from inside the app.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from werkzeug.datastructures import Headers

from bridge.request import Replay


@dataclass(frozen=True)
class Event:
    """A deferred event, as a listener is called with it.

    `data` is the body byte for byte, `time` (UTC) and `source` say when and by which app it was deferred. `attempt`
    counts from 1 and begins anew when a dead letter is put back. The id never changes, so that a listener can
    recognise a repeat. `headers` are the replay's own, as in Flask.
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

    @cached_property
    def payload(self) -> Any:
        """The data decoded where its content type is JSON, else the bytes. Raise `ValueError` for broken JSON."""
        return self._loads(self.data) if is_json(self.content_type) else self.data


def event_of(replay: Replay, headers: Headers, loads: Callable[[bytes], Any]) -> Event:
    """Return the replay as a listener sees it; `loads` is the app's own JSON decoder."""
    event = replay.event
    return Event(
        id=event.id,
        name=event.name,
        data=event.data,
        content_type=event.content_type,
        time=event.time,
        source=event.source,
        attempt=replay.attempt,
        queue=replay.queue,
        headers=headers,
        _loads=loads,
    )


def is_json(content_type: str) -> bool:
    """Tell whether a body of this content type is JSON: `application/json`, or any `…+json`."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


class Retry(Exception):
    """Raised by a listener: not now. `after` is when, as seconds, a timedelta or an aware datetime; without it the
    queue's policy decides. One attempt is spent, and the policy still says when it was the last."""

    def __init__(self, after: float | timedelta | datetime | None = None, why: str = "") -> None:
        super().__init__(why or "the listener asked for a retry")
        self.after = _checked(after)

    def seconds(self, now: datetime) -> float | None:
        """Return how many seconds to wait from now; None where the policy decides."""
        if isinstance(self.after, datetime):
            return max((self.after - now).total_seconds(), 0.0)
        return self.after


class Reject(Exception):
    """Raised by a listener: this event can never succeed. It becomes a dead letter at once, with the reason `why`."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why or "the listener rejected the event")


def _checked(after: object) -> float | datetime | None:
    """Return `after` as seconds or a moment in UTC."""
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
                f"Retry(after={after!r:.100}): expected seconds, a timedelta or a datetime with a time zone"
            )
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"Retry(after={after!r:.100}): expected a time that is not negative")
    return seconds
