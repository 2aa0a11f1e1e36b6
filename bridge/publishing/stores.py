"""The face of a store towards its relay: the events that wait in it, and the promise of `RelayStore`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bridge.envelope import decode_head
from bridge.event import Event

HEARTBEAT = 2.0
"""Seconds between two looks at a store that wakes its relay: for events whose wake-up was lost, such as those of
processes that have ended."""

Key = tuple[int, str]
"""An event's number and head. If a store was replaced, the number alone may belong to another event."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is stored: the number that is its place, the head of its envelope, and its data."""

    number: int
    head: str
    data: bytes

    @property
    def key(self) -> Key:
        return self.number, self.head

    def read(self) -> tuple[Event, datetime | None]:
        """Return the event, and its due time if it is not due at once. Raise `UnreadableEnvelope`."""
        envelope = decode_head(self.head, self.data)
        due = envelope.round_began
        return envelope.event, due if due > envelope.event.time else None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many events wait in a store, and the time of the oldest; None without one."""

    events: int = 0
    oldest: datetime | None = None


class RelayStore(Protocol):
    """A place where events wait for a relay. Every method raises `BridgeError` if the store cannot be used now."""

    @property
    def name(self) -> str:
        """The store in words, for log lines: `the spool /var/lib/shop/spool.db`."""

    @property
    def look_every(self) -> float:
        """The seconds between two looks at the store while it is empty."""

    async def read(self, after: int, most: int) -> list[StoredEvent]:
        """Return the next events after the number `after`, in order, at most `most`, that this process may relay now.
        What an earlier `read` returned and `remove` did not take may be read by other processes again."""

    async def remove(self, keys: Iterable[Key]) -> None:
        """Delete these events for good. An event that is not there is no error."""

    async def waiting(self) -> Waiting:
        """Return what waits in the store."""

    def lock(self) -> bool:
        """Take the right to relay until `unlock()` or the end of the process. Return False if another process has it.
        A store that several processes share always returns True."""

    def unlock(self) -> None:
        """Give the right to relay back, and what was read. Without it, do nothing."""
