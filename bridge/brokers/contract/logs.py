"""The broker's promise about logs: named, append-only lists of records with many readers. Their values are in
`bridge/logs.py`.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from bridge.deadline import Deadline
from bridge.logs import BEFORE_ALL, Batch, Content, Record, decode_batch, number_of

APPEND_SECONDS = 10.0
"""The budget of an append without a deadline."""


class Records:
    """Iterates over the records of batches. `skipped` counts the records that could not be read, which are left out.

    Records up to the position `after` are left out too. `backwards`: the newest batch and its last record come first.
    `having`: only records whose lines contain these bytes.
    """

    def __init__(
        self, batches: AsyncIterator[Batch], after: int, *, backwards: bool = False, having: bytes = b""
    ) -> None:
        self.skipped = 0
        self._batches = batches
        self._after = after
        self._backwards = backwards
        self._having = having
        self._ready: list[Record] = []

    def __aiter__(self) -> "Records":
        return self

    async def __anext__(self) -> Record:
        while not self._ready:
            batch = await anext(self._batches)
            records, skipped = decode_batch(batch, self._having)
            self.skipped += skipped
            if not self._backwards:
                records.reverse()
            read_in_part = batch.number == number_of(self._after)
            self._ready = [each for each in records if not read_in_part or each.position > self._after]
        return self._ready.pop()

    async def aclose(self) -> None:
        """Stop reading; a second call does nothing."""
        if isinstance(self._batches, AsyncGenerator):
            await self._batches.aclose()


class Log(Protocol):
    """One log. Reading changes nothing. Many processes may read and append at the same time."""

    @property
    def dropped(self) -> int:
        """The number of records of `append_soon` that this process has dropped."""

    async def append(self, content: Content, *, deadline: Deadline | None = None) -> None:
        """Append a record before the deadline (None: `APPEND_SECONDS` from now). When this returns, the broker has the
        record durably; after a broken connection it may be in the log twice.

        Raise `TooLarge`, `BrokerRefused`, and at the deadline `BrokerUnavailable` (the record was not appended) or
        `AppendUnconfirmed` (it may have been).
        """

    def append_soon(self, content: Content) -> None:
        """Append a record within some 0.2 s, together with others, unconfirmed. While the broker is unreachable,
        records wait in memory; records that do not fit are dropped and counted. Raise `TooLarge`."""

    def read(self, after: int = BEFORE_ALL) -> Records:
        """Return an iterator over all present records after the position `after`, oldest first. The iterator raises
        `BrokerUnavailable` or `BrokerRefused`."""

    def read_back(self, having: str = "") -> Records:
        """Return an iterator over all present records, newest first. It reads only as much as its user takes.

        `having`: only records with this text in a value or key; other records are skipped without decoding them. The
        iterator raises as that of `read` does."""

    def follow(self, after: int | None = None) -> AbstractAsyncContextManager[Records]:
        """Iterate without end over the records after the position `after` (None: over new records). No record that is
        appended after the block was entered is missed. The iterator waits while the broker is unreachable. If an
        operator deletes the log, the iterator continues at the beginning of the new one. After a broken connection,
        records may come twice. Raise `BrokerRefused`."""

    async def close(self) -> None:
        """Append the records that still wait, within some 2 s, and close; a second call does nothing."""


class BatchLog(Protocol):
    """A log as a broker stores it: batches instead of records. `RecordLog` turns it into a `Log`."""

    async def append(self, data: bytes, deadline: Deadline) -> None:
        """Append a batch. Raise what `Log.append` raises."""

    def read(self, after: int) -> AsyncGenerator[Batch, None]:
        """Yield all present batches after the number `after`, oldest first."""

    def read_back(self) -> AsyncGenerator[Batch, None]:
        """Yield all present batches, newest first, reading a few at a time."""

    def follow(self, after: int | None) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        """Iterate over batches as `Log.follow` does over records. Cancelling one step loses no batch."""

    async def close(self) -> None:
        """Close the connections; a second call does nothing."""
