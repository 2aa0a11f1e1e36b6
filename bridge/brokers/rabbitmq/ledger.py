"""The ledger on RabbitMQ: a stream, read over AMQP, with a disposable local index of what was read before."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

from aio_pika import Connection
from aiormq.channel import Channel as Engine
from aiormq.exceptions import ChannelLockedResource

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
from bridge.brokers.rabbitmq.replica import Replica, furthest
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
        self._kept: Replica | None = None
        self._ahead: dict[int, Record] = {}
        self._asked_before: int | None = None

    async def entries(self) -> AsyncIterator[Entry]:
        """Yield all entries there are now, oldest first."""
        with self._in_our_words():
            replica = await furthest(self._address, self._names.ledger)
            try:
                if (end := replica.end) is None:
                    return
                async with replica.stream() as stream:
                    oldest = await stream.oldest(end)
                    index = await self._up_to_date(stream, end)
            finally:
                await replica.close()
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
        with self._in_our_words():
            connection = await connect(self._address)
        try:
            with self._in_our_words():
                lock = await self._locked(connection)
            undecided = set(open_letters([one async for one in self.entries()]))
            publisher = self._publisher()
            try:
                yield RabbitDecisions(lock, publisher, undecided)
            finally:
                await publisher.close()
        finally:
            await disconnect(connection)

    async def close(self) -> None:
        """Close the connection that letters are read on."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.close()

    async def _read(self, start: int, count: int) -> dict[int, Record]:
        """Return what the stream has at so many offsets, as far as it has them and they are not too large together."""
        found: dict[int, Record] = {}
        with self._in_our_words():
            replica = await self._reaching(start)
            if replica.end is None or not 0 <= start <= replica.end:
                return found
            end = min(start + count - 1, replica.end)
            try:
                async with replica.stream(prefetch=count) as stream, aclosing(stream.read(start, end)) as records:
                    async for record in records:
                        found[record.number] = record
                        if sum(len(one.body) for one in found.values()) > AHEAD_BYTES:
                            break
            except BaseException:
                await self.close()
                raise
        return found

    async def _reaching(self, number: int) -> Replica:
        """Return the replica that is kept, for a redrive reads letters one by one, thousands of them; another one
        where it does not reach so far."""
        kept = self._kept
        if kept is None or kept.is_closed or kept.end is None or number > kept.end:
            await self.close()
            kept = self._kept = await furthest(self._address, self._names.ledger)
        return kept

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

    async def _locked(self, connection: Connection) -> Engine:
        """Declare the queue that is the lock, and return the channel whose connection it lasts as long as."""
        channel = await open_channel(connection, confirms=False)
        try:
            await channel.declare_queue(self._names.deciding, exclusive=True)
        except ChannelLockedResource as error:
            message = f"another bridge-dlq is deciding about dead letters of RabbitMQ at {self._address}"
            raise BrokerRefused(message) from error
        return await engine_of(channel)

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """Raise what goes wrong with a connection as `BrokerUnavailable` or `BrokerRefused`."""
        try:
            with cancelled_by_us_alone():
                yield
        except BROKEN as error:
            unavailable = BrokerUnavailable(f"RabbitMQ at {self._address} does not answer: {error}")
            raise refusal(error, self._address) or unavailable from error
