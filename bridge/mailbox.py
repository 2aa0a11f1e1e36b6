"""A mailbox: a durable queue of plain messages, which programs put and fetch. It is no queue of events: nothing is
replayed or retried, and no message becomes a dead letter. Pure.
"""

import re

from bridge.errors import DeferError, InvalidPayload, TooLarge, shown
from bridge.handling import Priority

MOST_URGENT_FIRST = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
"""The order in which messages are fetched. Messages of one priority are fetched in the order in which they were put."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")


def checked_name(name: object) -> str:
    """Return the name of a mailbox. Raise `DeferError` for anything else."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise DeferError(f"mailbox {shown(name)}: expected a name of A-Z a-z 0-9 _ -, at most 60 characters")
    return name


def checked_priority(priority: object) -> Priority:
    """Return the priority that a word names; None is normal. Raise `DeferError`."""
    try:
        return Priority.NORMAL if priority is None else Priority(priority)  # type: ignore[arg-type]  # or it raises
    except (ValueError, TypeError):
        words = ", ".join(f"'{each.value}'" for each in MOST_URGENT_FIRST)
        raise DeferError(f"priority={shown(priority)}: expected one of {words}") from None


def checked_body(body: object, most: int) -> bytes:
    """Return the body of a message. Raise `InvalidPayload` for anything but bytes, `TooLarge` for more than `most`."""
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InvalidPayload(f"the message {shown(body)}: expected bytes; encode a text, or write JSON")
    try:
        data = bytes(body)
    except ValueError as error:  # a memoryview that was released
        raise InvalidPayload(f"the message cannot be read: {error}") from error
    if len(data) > most:
        raise TooLarge(f"the message is {len(data)} bytes: expected at most {most} (max_body)")
    return data
