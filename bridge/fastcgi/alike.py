"""A reply that comes again, the same bytes but for its request id, as most replies of an application are."""

from collections.abc import Sequence

from bridge.fastcgi.records import HEADER
from bridge.fastcgi.reply_events import ReplyEvent

LONGEST = 2048
"""Bytes of the longest reply that is remembered."""


class KnownReply:
    """The bytes of a whole reply and the events in it, for those that begin with the same bytes."""

    __slots__ = ("_between_ids", "events", "size")

    def __init__(self, reply: bytes, events: tuple[ReplyEvent, ...]) -> None:
        """`reply` has whole records of one request."""
        self.events = events
        self.size = len(reply)
        self._between_ids: list[bytes] = []
        at = kept = 0
        while at < self.size:
            _, _, _, length, padding = HEADER.unpack_from(reply, at)
            self._between_ids.append(reply[kept : at + 2])
            kept = at + 4
            at += HEADER.size + length + padding
        self._between_ids.append(reply[kept:])

    def comes_again(self, data: bytes, at: int, request_id: int) -> bool:
        """Return whether `data` has this reply at that place, as the reply to this request."""
        return data.startswith(request_id.to_bytes(2).join(self._between_ids), at)


class ReplyMemory:
    """Remembers the last whole reply of an application, for all connections to it."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: KnownReply | None = None

    def recall(self, data: bytes, request_id: int) -> tuple[ReplyEvent, ...] | None:
        """Return the events in `data` if it is the remembered reply, as the reply to this request, and nothing else."""
        known = self._last
        if known is None or len(data) != known.size or not known.comes_again(data, 0, request_id):
            return None
        return known.events

    def note(self, data: bytes, request_id: int, events: Sequence[ReplyEvent]) -> tuple[ReplyEvent, ...]:
        """Remember a whole reply to this request, unless it is too long. Return its events as `recall` returns them."""
        known = KnownReply(data, tuple(events)) if len(data) <= LONGEST else None
        if known is not None and known.comes_again(data, 0, request_id):  # else it has records of no request
            self._last = known
        return tuple(events) if known is None else known.events
