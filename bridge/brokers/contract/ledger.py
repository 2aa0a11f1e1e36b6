"""The broker's promise about the ledger of dead letters.

The ledger is an append-only list of entries, each with a number of its own; numbers rise. A redrive reads the ledger
once: `entries()` before it asks the user, `entries(after=LAST)` inside `deciding()` for later entries, and
`letters(NUMBERS)` for the whole letters that it puts back, in batches.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from bridge.envelope import Envelope
from bridge.errors import UnreadableEnvelope
from bridge.ledger import Entry, Letter

BEFORE_ALL = -1
"""A number below the number of every entry."""

LETTERS_AHEAD = 64
LETTERS_AHEAD_BYTES = 16 * 1024**2
"""The most that `letters` reads ahead of its caller: a number of letters, or bytes of data and one more letter."""


class Decisions(Protocol):
    """The right to decide about dead letters, which one process has at a time. Each verb raises `BrokerRefused` if the
    letter is not open, and `BrokerUnavailable` if the right was lost."""

    async def redrive(self, number: int, envelope: Envelope, queue: str, actor: str, note: str) -> None:
        """Put the envelope into its queue, then record the decision. Raise what `Publisher.put` raises."""

    async def discard(self, number: int, actor: str, note: str) -> None:
        """Record the decision to discard the letter."""

    async def erase(self, number: int, actor: str, note: str) -> bool:
        """Remove the data of a letter, open or decided, its transcript and the messages of its errors for good. An open
        letter is discarded. Return False if a copy may remain in the broker's files for some time. Raise
        `BrokerRefused` if there is no such letter, or if the broker cannot remove anything."""


class Ledger(Protocol):
    """The append-only record of dead letters. Reading changes nothing. Many processes may read at the same time."""

    def entries(self, after: int = BEFORE_ALL) -> AsyncIterator[Entry]:
        """Yield all present entries after the number `after`, oldest first, without bodies and transcripts."""

    def entries_back(self) -> AsyncGenerator[Entry, None]:
        """Yield all present entries, newest first. It reads only as much as its user takes."""

    async def letter(self, number: int) -> Letter | None:
        """Return the whole dead letter of this number; None if the ledger has no such letter. Raise
        `UnreadableEnvelope` if the letter is damaged, or of a later version."""

    def letters(self, numbers: Iterable[int]) -> AsyncGenerator[Letter | UnreadableEnvelope | None, None]:
        """Yield the result or the error of `letter` for each number, in the given order. The ledger is read in batches,
        so rising numbers that are close together cost the least. The caller may pause between two letters without
        limit."""

    async def add(self, letter: Letter) -> None:
        """Append a dead letter that comes from another broker. When this returns, the ledger has it durably; after a
        broken connection it may have it twice. Raise `TooLarge`, `BrokerUnavailable` or `BrokerRefused`."""

    def deciding(self) -> AbstractAsyncContextManager[Decisions]:
        """Hold the exclusive right to decide while the block runs. Raise `BrokerRefused` at once if another process has
        it, with the holder's name as far as the broker knows it. Inside the block, read the entries that are newer than
        your last reading: another process may have decided in the meantime."""

    async def close(self) -> None:
        """Close the connections; a second call does nothing."""
