"""The event that an app deferred. It never changes: every attempt, copy and dead letter carries the same event."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bridge.handling import PLAIN, Handling


class Event(NamedTuple):
    """A CloudEvents 1.0 event.

    `time` is when the event was deferred, in UTC. `data` is its body, byte for byte, and `content_type` the media type
    of the body. `traceparent` is the W3C trace context of the request that deferred the event. `handling` is what its
    publisher asked for.
    """

    id: str
    name: str
    source: str
    time: datetime
    content_type: str
    data: bytes
    traceparent: str | None = None
    handling: Handling = PLAIN


UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)
"""The time of an event or a dead letter that came without a time. People read "unknown"; no age counts from it."""

_PLAIN_ID = re.compile(r"[A-Za-z0-9._:-]{1,255}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def plain_id(text: str) -> str:
    """Return an id that is safe in headers, paths and file names. That is the text itself, if it is made of 1 to 255 of
    A-Z a-z 0-9 . _ : -, and otherwise a UUID that is derived from it: equal texts give equal ids."""
    return text if _PLAIN_ID.fullmatch(text) else str(uuid.uuid5(uuid.NAMESPACE_OID, text))


def is_uuid(text: str) -> bool:
    """Return True if the text is a UUID, as the id of every event of `defer()` is."""
    return _UUID.fullmatch(text) is not None


def event_id(now: datetime, randomness: bytes) -> str:
    """Return a UUIDv7 (RFC 9562) made from the time and 10 random bytes."""
    milliseconds = int(now.timestamp() * 1000)
    value = (milliseconds & ((1 << 48) - 1)) << 80 | int.from_bytes(randomness[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def format_time(time: datetime) -> str:
    """Return the time as RFC 3339 text in UTC, with microseconds."""
    utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    return utc.isoformat("T", "microseconds").removesuffix("+00:00") + "Z"


def parse_time(text: str) -> datetime:
    """Return the time of an RFC 3339 text, in UTC. Raise `ValueError` for any other text, and for a time without an
    offset."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"time {text!r}: expected an offset, such as 'Z'")
    if parsed.tzinfo is UTC:
        return parsed
    try:
        return parsed.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"time {text!r}: expected a time in the years 1 to 9999 UTC") from None


def local_time(time: datetime) -> datetime:
    """Return the time in the local time zone; unchanged at an end of the calendar, where that zone has no such time."""
    try:
        return time.astimezone()
    except OverflowError:
        return time


def after(time: datetime, seconds: float) -> datetime:
    """Return the time `seconds` later, but at most `datetime.max`."""
    try:
        return time + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=time.tzinfo)
