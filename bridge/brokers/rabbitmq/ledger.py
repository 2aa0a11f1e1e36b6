"""The ledger on RabbitMQ: a stream, read over AMQP, with a disposable local index of what was read before."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from aio_pika import Connection
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelLockedResource, ChannelNotFoundEntity

from bridge.brokers.rabbitmq.address import Address
from bridge.brokers.rabbitmq.connection import (
    BROKEN,
    cancelled_by_us_alone,
    connect,
    disconnect,
    engine_of,
    open_channel,
    refusal,
)
from bridge.brokers.rabbitmq.decisions import RabbitDecisions
from bridge.brokers.rabbitmq.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.record import Record, entry, letter
from bridge.brokers.rabbitmq.stream import Stream
from bridge.brokers.rabbitmq.topology import Names
from bridge.brokers.sqlite.index_file import new_index, open_index
from bridge.brokers.sqlite.ledger_table import LedgerTable
from bridge.errors import BrokerRefused, BrokerUnavailable
from bridge.ledger import Entry, Letter, open_letters

BATCH = 1000

AHEAD = 64
AHEAD_BYTES = 16 * 1024**2
"""What is read beyond a letter where letters are asked for one after the other: to attach to the stream takes some
25 ms, to read a letter that follows a fraction of one."""


class RabbitLedger:
    """See the contract. Raises `BrokerUnavailable` or `BrokerRefused` where RabbitMQ cannot be asked."""

    def __init__(self, address: Address, names: Names, publisher: Callable[[], RabbitPublisher]) -> None:
        self._address = address
        self._names = names
        self._publisher = publisher
        self._identity = f"{address} {names.namespace}"
        self._kept: Connection | None = None
        self._end = -1
        self._ahead: dict[int, Record] = {}
        self._asked_before: int | None = None

    async def entries(self) -> AsyncIterator[Entry]:
        """Yield all entries there are now, oldest first."""
        async with self._channel() as channel:
            stream = Stream(channel, self._names.ledger)
            end = await stream.last()
            if end is None:
                return
            self._end = end
            oldest = await stream.oldest(end)
            index = await self._up_to_date(stream, end)
        try:
            after = oldest - 1
            while page := list(index.entries(after, end, BATCH)):
                for one in page:
                    yield one
                after = page[-1].number
        finally:
            index.close()

    async def letter(self, number: int) -> Letter | None:
        """Return one dead letter whole; None where the ledger holds none of this number."""
        before, self._asked_before = self._asked_before, number
        if number not in self._ahead:
            in_turn = before is not None and 0 < number - before <= AHEAD
            self._ahead = await self._read(number, AHEAD if in_turn else 1)
        record = self._ahead.pop(number, None)
        return None if record is None or record.is_decision else letter(record)

    @asynccontextmanager
    async def deciding(self) -> AsyncIterator[RabbitDecisions]:
        """Hold the exclusive right to decide. Raise `BrokerRefused` where somebody else holds it."""
        async with self._channel() as channel:
            try:
                await channel.declare_queue(self._names.deciding, exclusive=True)
            except ChannelLockedResource as error:
                message = f"another bridge-dlq is deciding about dead letters of RabbitMQ at {self._address}"
                raise BrokerRefused(message) from error
            undecided = set(open_letters([one async for one in self.entries()]))
            publisher = self._publisher()
            try:
                yield RabbitDecisions(await engine_of(channel), publisher, self._names, undecided)
            finally:
                await publisher.close()

    async def close(self) -> None:
        """Close the connection that letters are read on."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await disconnect(kept)

    async def _read(self, start: int, count: int) -> dict[int, Record]:
        """Return what the stream has at so many offsets, as far as it has them and they are not too large together."""
        found: dict[int, Record] = {}
        async with self._channel(keep=True) as channel:
            stream = Stream(channel, self._names.ledger, prefetch=count)
            if start > self._end:
                end = await stream.last()
                self._end = -1 if end is None else end
            if not 0 <= start <= self._end:
                return found
            async with aclosing(stream.read(start, min(start + count - 1, self._end))) as records:
                async for record in records:
                    found[record.number] = record
                    if sum(len(one.body) for one in found.values()) > AHEAD_BYTES:
                        break
        return found

    async def _up_to_date(self, stream: Stream, end: int) -> LedgerTable:
        """Return the index, with all entries to `end`. It is made anew where the stream is not the one it knows."""
        index = open_index(self._identity)
        known = index.last_number()
        if known is not None and (known > end or not await self._knows(index, stream, known)):
            index.close()
            index, known = new_index(self._identity), None
        batch: list[Entry] = []
        start = 0 if known is None else known + 1
        if start <= end:
            async with aclosing(stream.read(start, end)) as records:
                async for record in records:
                    one = entry(record)
                    batch += [one] if one is not None else []
                    if len(batch) >= BATCH:
                        index.add_many(batch)
                        batch.clear()
        index.add_many(batch)
        return index

    async def _knows(self, index: LedgerTable, stream: Stream, known: int) -> bool:
        """Tell whether the newest entry of the index is what the stream has there."""
        async with aclosing(stream.read(known, known)) as records:
            async for record in records:
                return [entry(record)] == list(index.entries(known - 1, known))
        return False

    @asynccontextmanager
    async def _channel(self, *, keep: bool = False) -> AsyncIterator[AbstractChannel]:
        """A channel of a connection of its own; with `keep` of one that stays open after good use: a redrive reads
        letters one by one, thousands of them."""
        connection = await self._connection(keep=keep)
        well = False
        try:
            with cancelled_by_us_alone():
                channel = await open_channel(connection, confirms=False)
                yield channel
                if keep:
                    await channel.close()
                    well = True
        except ChannelNotFoundEntity:
            raise
        except BROKEN as error:
            unavailable = BrokerUnavailable(f"RabbitMQ at {self._address} does not answer: {error}")
            raise refusal(error, self._address) or unavailable from error
        finally:
            if not well:
                self._kept = None if connection is self._kept else self._kept
                await disconnect(connection)

    async def _connection(self, *, keep: bool) -> Connection:
        if keep and self._kept is not None and not self._kept.is_closed:
            return self._kept
        try:
            connection = await connect(self._address)
        except BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ at {self._address} cannot be reached: {error}") from error
        if keep:
            self._kept = connection
        return connection
