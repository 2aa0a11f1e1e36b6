"""A ledger in memory, filled by the tests of this folder. It follows the contract, and fails on demand."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bridge.attempt import Attempt, Error
from bridge.brokers.contract.ledger import BEFORE_ALL
from bridge.envelope import Envelope
from bridge.errors import UnreadableEnvelope
from bridge.event import Event
from bridge.ledger import Dead, Discarded, Entry, Letter, Redriven, summary

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def a_letter(
    *,
    event_id: str = "0195c7a0-0000-7000-8000-0000000000aa",
    name: str = "order.paid",
    queue: str = "mail",
    error: Error = Error("KeyError", "'id'"),  # noqa: B008 (frozen)
    data: bytes = b'{"id": 17}',
    content_type: str = "application/json",
    age: timedelta = timedelta(hours=2),
) -> Letter:
    """Return a letter that died in its first attempt."""
    event = Event(event_id, name, "shop", NOW - timedelta(days=1), content_type, data)
    attempt = Attempt(1, 1, NOW - age, 0.25, "Failed", "v42", error)
    return Letter(NOW - age, queue, "attempts used up", Envelope(event, event.time).remember(attempt), error)


class LedgerDouble:
    """The ledger and the right to decide in one object. `fails` has the exceptions of decisions, by letter number.
    `yielded` is the count of entries that were read."""

    def __init__(self, *letters: Letter) -> None:
        self.all: list[Entry] = []
        self.whole: dict[int, Letter] = {}
        self.fails: dict[int, Exception] = {}
        self.yielded = 0
        self.put: list[tuple[Envelope, str]] = []
        for letter in letters:
            self.bury(letter)

    async def add(self, letter: Letter) -> None:
        self.bury(letter)

    def bury(self, letter: Letter) -> Dead:
        number = len(self.all) + 1
        self.whole[number] = letter
        entry = summary(number, letter)
        self.all.append(entry)
        return entry

    async def entries(self, after: int = BEFORE_ALL) -> AsyncIterator[Entry]:
        for entry in list(self.all):
            if entry.number > after:
                self.yielded += 1
                yield entry

    async def entries_back(self) -> AsyncGenerator[Entry, None]:
        for entry in reversed(self.all):
            self.yielded += 1
            yield entry

    async def letter(self, number: int) -> Letter | None:
        return self.whole.get(number)

    async def letters(self, numbers: Iterable[int]) -> AsyncGenerator[Letter | UnreadableEnvelope | None, None]:
        for number in numbers:
            yield self.whole.get(number)

    @asynccontextmanager
    async def deciding(self) -> AsyncIterator["LedgerDouble"]:
        yield self

    async def close(self) -> None:
        """Do nothing: a ledger in memory has nothing to close."""

    async def redrive(self, number: int, envelope: Envelope, queue: str, actor: str, note: str) -> None:
        if number in self.fails:
            raise self.fails[number]
        self.put.append((envelope, queue))
        self.all.append(Redriven(len(self.all) + 1, number, NOW, actor, note))

    async def discard(self, number: int, actor: str, note: str) -> None:
        if number in self.fails:
            raise self.fails[number]
        self.all.append(Discarded(len(self.all) + 1, number, NOW, actor, note))

    async def erase(self, number: int, actor: str, note: str) -> bool:
        raise NotImplementedError


def unreadable(letter: Letter) -> Letter:
    """Return the letter with an envelope of an unknown version."""
    return replace(letter, reason="unreadable", unread='{"v":99}')
