"""The ledger on RabbitMQ: a log that is the stream `NAMESPACE.dead`, and the claim `NAMESPACE.deciding`."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Set
from contextlib import aclosing, asynccontextmanager
from functools import partial
from itertools import islice

from bridge.brokers.contract.ledger import BEFORE_ALL, LETTERS_AHEAD, LETTERS_AHEAD_BYTES
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import again_for
from bridge.brokers.rabbitmq.connection.translation import as_bridge_errors
from bridge.brokers.rabbitmq.coordination.claim import hold
from bridge.brokers.rabbitmq.logs.decisions import RabbitDecisions
from bridge.brokers.rabbitmq.logs.indexed_stream import IndexedStream, in_pages
from bridge.brokers.rabbitmq.logs.ledger_records import LedgerReader, is_decision, letter
from bridge.brokers.rabbitmq.logs.pages import StreamPages
from bridge.brokers.rabbitmq.logs.replica import NOT_READY, PATIENCE, Replica, furthest
from bridge.brokers.rabbitmq.logs.stream import StreamMessage
from bridge.brokers.rabbitmq.publishing.publication import dead_letter
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import UnreadableEnvelope
from bridge.ledger import Entry, Letter
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.local_database.ledger_table import LedgerTable

INDEX_VERSION = 3
"""A part of the name of the local index. Another version of the program that decodes entries differently has an index
of its own."""


class RabbitLedger:
    """The ledger as a stream; see the contract. Raises `BrokerUnavailable` or `BrokerRefused` if RabbitMQ does not
    answer."""

    def __init__(
        self, address: Address, names: Names, publisher: Callable[[], RabbitPublisher], keys: LedgerKeys = NO_KEYS
    ) -> None:
        self._address = address
        self._names = names
        self._publisher = publisher
        identity = f"{address} {names.namespace} ledger {INDEX_VERSION} {keys.fingerprint()}"
        self._entry = LedgerReader(names.namespace, keys).entry
        self._indexed = IndexedStream(address, names.ledger, identity, self._entry, LedgerTable)
        self._replica: Replica | None = None
        self._adding: RabbitPublisher | None = None

    async def entries(self, after: int = BEFORE_ALL) -> AsyncIterator[Entry]:
        """Yield all present entries after this number, oldest first."""
        async with self._indexed.snapshot() as snapshot:
            for each in in_pages(snapshot.index, after, snapshot.end):
                yield each

    async def entries_back(self) -> AsyncGenerator[Entry, None]:
        """Yield all present entries, newest first, without the local index."""
        pages = StreamPages(self._address, self._names.ledger)
        with as_bridge_errors(self._address):
            async with aclosing(pages), aclosing(pages.backwards()) as found:
                async for page in found:
                    while page:
                        yield self._entry(page.pop())

    async def letter(self, number: int) -> Letter | None:
        """Return the whole dead letter of this number; None if the ledger has no such letter."""
        return _letter_of((await self._read({number})).get(number))

    async def letters(self, numbers: Iterable[int]) -> AsyncGenerator[Letter | UnreadableEnvelope | None, None]:
        """Yield the letter of each number. Attaching to the stream takes some 25 ms, and reading the next letter less
        than 1 ms; so letters are read ahead."""
        waiting = deque(numbers)
        ahead: dict[int, StreamMessage] = {}
        while waiting:
            number = waiting[0]
            if number not in ahead:
                near = {other for other in islice(waiting, LETTERS_AHEAD) if number <= other < number + LETTERS_AHEAD}
                ahead = await self._read(near)
            waiting.popleft()
            yield _letter_of(ahead.pop(number, None))

    async def add(self, letter: Letter) -> None:
        """Append a dead letter, confirmed, over a connection that is kept until `close`."""
        if self._adding is None:
            self._adding = self._publisher()
        await self._adding.send(dead_letter(letter))

    @asynccontextmanager
    async def deciding(self) -> AsyncIterator[RabbitDecisions]:
        """Hold the exclusive right to decide. Raise `BrokerRefused` if another process holds it."""
        taken = f"another bridge-dlq is deciding about dead letters of RabbitMQ at {self._address}"
        async with (
            hold(self._address, self._names.deciding, taken, self._names.question) as claim,
            self._indexed.snapshot() as snapshot,
        ):

            def was_open(number: int) -> bool:
                return number <= snapshot.end and snapshot.index.is_open(number)

            publisher = self._publisher()
            try:
                yield RabbitDecisions(claim, publisher, was_open)
            finally:
                await publisher.close()

    async def close(self) -> None:
        """Close the connections that letters are read on and added by."""
        adding, self._adding = self._adding, None
        if adding is not None:
            await adding.close()
        await self._close_replica()

    async def _close_replica(self) -> None:
        replica, self._replica = self._replica, None
        if replica is not None:
            await replica.close()

    async def _read(self, numbers: Set[int]) -> dict[int, StreamMessage]:
        """Return the messages of these numbers that the stream has, up to some `LETTERS_AHEAD_BYTES` of data."""
        with as_bridge_errors(self._address):
            return await again_for(PATIENCE, partial(self._read_once, numbers), NOT_READY)

    async def _read_once(self, numbers: Set[int]) -> dict[int, StreamMessage]:
        found: dict[int, StreamMessage] = {}
        first = min(numbers)
        replica = await self._reaching(max(numbers))
        if first < 0 or replica.end is None or first > replica.end:
            return found
        last = min(max(numbers), replica.end)
        size = 0
        try:
            async with (
                replica.stream(prefetch=last - first + 1) as stream,
                aclosing(stream.read(first, last)) as messages,
            ):
                async for message in messages:
                    if message.number in numbers:
                        found[message.number] = message
                        size += len(message.body)
                    if size > LETTERS_AHEAD_BYTES:
                        break
        except BaseException:
            await self._close_replica()
            raise
        return found

    async def _reaching(self, number: int) -> Replica:
        """Return the replica of the last call, because a redrive reads letters in many batches; or a new one if that
        does not reach this number."""
        replica = self._replica
        if replica is None or replica.is_closed or replica.end is None or number > replica.end:
            await self._close_replica()
            replica = self._replica = await furthest(self._address, self._names.ledger)
        return replica


def _letter_of(message: StreamMessage | None) -> Letter | None:
    return None if message is None or is_decision(message) else letter(message)
