"""The event: what was deferred. It never changes; every attempt, copy and dead letter carries the same one."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvents 1.0 event.

    `time` is when it was deferred, in UTC. `data` is the body byte for byte, `content_type` says what it is.
    `traceparent` is the W3C trace context of the request that deferred it.
    """

    id: str
    name: str
    source: str
    time: datetime
    content_type: str
    data: bytes
    traceparent: str | None = None


def event_id(now: datetime, randomness: bytes) -> str:
    """Return a UUIDv7 (RFC 9562) made of the time and 10 random bytes."""
    milliseconds = int(now.timestamp() * 1000)
    value = (milliseconds & ((1 << 48) - 1)) << 80 | int.from_bytes(randomness[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def timestamp(moment: datetime) -> str:
    """Return the moment as RFC 3339 in UTC, with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """Return the moment that an RFC 3339 text names, in UTC. Raise `ValueError` where it names none."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"time {text!r}: expected an offset, such as 'Z'")
    try:
        return parsed.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"time {text!r}: expected one within the calendar") from None


def after(moment: datetime, seconds: float) -> datetime:
    """Return the moment so many seconds later; beyond the calendar's end, its end."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=moment.tzinfo)
