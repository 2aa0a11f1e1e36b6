"""Reads a long stream through a local index, so that this machine fetches each message only once."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import again_for
from bridge.brokers.rabbitmq.connection.translation import as_bridge_errors
from bridge.brokers.rabbitmq.logs.replica import NOT_READY, PATIENCE, furthest
from bridge.brokers.rabbitmq.logs.stream import Stream, StreamMessage
from bridge.local_database.local_index import IndexTable, new_index, open_index

PAGE = 1000


class Numbered(Protocol):
    """An entry of an index. Its number is its offset in the stream."""

    @property
    def number(self) -> int: ...


N = TypeVar("N", bound=Numbered)

T = TypeVar("T", bound=IndexTable[Any])


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """The index of a stream with all entries up to the offset `end`; -1 if the stream is empty."""

    index: T
    end: int


class IndexedStream(Generic[T]):
    """A stream, and an index of the results of `decode` for its messages.

    `table` makes the index's table from a connection. `identity` names the stream and its broker, and so the index.
    """

    def __init__(
        self,
        address: Address,
        name: str,
        identity: str,
        decode: Callable[[StreamMessage], Any],
        table: Callable[[Any], T],
    ) -> None:
        self._address = address
        self._name = name
        self._identity = identity
        self._decode = decode
        self._table = table

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot[T]]:
        """Read the new messages, and return the index, which is closed when the block ends. Raise `BrokerUnavailable`
        or `BrokerRefused`."""
        with as_bridge_errors(self._address):
            snapshot = await again_for(PATIENCE, self._read_on, NOT_READY)
        try:
            yield snapshot
        finally:
            snapshot.index.close()

    async def _read_on(self) -> Snapshot[T]:
        replica = await furthest(self._address, self._name)
        try:
            if replica.end is None:
                return Snapshot(open_index(self._identity, self._table), -1)
            async with replica.stream() as stream:
                oldest = await stream.oldest(replica.end)
                return Snapshot(await self._up_to_date(stream, oldest, replica.end), replica.end)
        finally:
            await replica.close()

    async def _up_to_date(self, stream: Stream, oldest: int, end: int) -> T:
        """Return the index with all entries up to `end`. A new index is made if the stream was deleted and replaced."""
        index = open_index(self._identity, self._table)
        known = index.last_number()
        if known is not None and (known > end or not await self._knows(index, stream, known)):
            index.close()
            index, known = new_index(self._identity, self._table), None
        index.forget_before(oldest)
        batch: list[Any] = []
        start = oldest if known is None else known + 1
        if start <= end:
            async with aclosing(stream.read(start, end)) as messages:
                async for message in messages:
                    batch.append(self._decode(message))
                    if len(batch) >= PAGE:
                        index.add_many(batch)
                        batch.clear()
        index.add_many(batch)
        return index

    async def _knows(self, index: T, stream: Stream, known: int) -> bool:
        """Return True if the stream still has the newest entry of the index at its offset."""
        async with aclosing(stream.read(known, known)) as messages:
            async for message in messages:
                return [self._decode(message)] == list(index.entries(known - 1, known))
        return False


def in_pages(table: IndexTable[N], after: int, end: int) -> Iterator[N]:
    """Yield the entries after the number `after` up to the number `end`. No SQL statement stays open between pages."""
    while page := list(table.entries(after, end, PAGE)):
        yield from page
        after = page[-1].number
