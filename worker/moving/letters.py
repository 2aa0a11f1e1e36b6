"""Moves the open dead letters: each is added to the new ledger, and then decided in the old one as discarded, with a
note that says where it went. Letters that somebody has decided about stay in the old ledger, with the decisions.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from bridge.brokers.contract.claims import ClaimTaken
from bridge.brokers.contract.ledger import BEFORE_ALL, LETTERS_AHEAD_BYTES, Decisions, Ledger
from bridge.console.actor import actor
from bridge.errors import BridgeError, BrokerRefused, DeferUnconfirmed, TooLarge, UnreadableEnvelope
from bridge.ledger import Dead, Discarded, Letter, Redriven
from bridge.logger import log
from worker.moving.tally import Kind, Tally

BATCH = 256
"""The most letters that are in flight, and that may be in both ledgers after a kill."""


class LettersMove:
    """Moves letters to a ledger. `destination` names the new broker in the old ledger's decisions."""

    def __init__(self, new: Ledger, destination: str, tally: Tally) -> None:
        self._new = new
        self._note = f"moved to {destination} by bridge-move"
        self._tally = tally
        self._read = BEFORE_ALL
        self._left: dict[int, Dead] = {}

    @property
    def left(self) -> int:
        """The number of open letters that were found and are not moved."""
        return len(self._left)

    async def move(self, old: Ledger) -> bool:
        """Move all open letters. Return False if some have to be tried again later: the new broker does not answer, or
        somebody else decides about letters of the old file now."""
        await self.look(old)
        if not self._left:
            return True
        try:
            async with old.deciding() as decisions:
                await self.look(old)
                return await self._move(old, decisions)
        except ClaimTaken as error:
            log.warning("the dead letters wait: %s", error)
            return False

    async def look(self, old: Ledger) -> None:
        """Read what is new in the old ledger, and count its open letters as left."""
        entries = [entry async for entry in old.entries(self._read)]
        if entries:
            self._read = entries[-1].number
            for entry in entries:
                match entry:
                    case Dead(number=number):
                        self._left[number] = entry
                    case Redriven(letter=letter) | Discarded(letter=letter):
                        self._left.pop(letter, None)

    async def _move(self, old: Ledger, decisions: Decisions) -> bool:
        numbers = list(self._left)
        batch: list[tuple[int, Letter]] = []
        size = 0
        async with aclosing(old.letters(numbers)) as letters:
            at = 0
            async for letter in letters:
                number = numbers[at]
                at += 1
                if isinstance(letter, Letter):
                    batch.append((number, letter))
                    size += len(letter.envelope.event.data)
                else:
                    self._tally.keep(f"dead letter {number}", letter or UnreadableEnvelope("its content is gone"))
                if len(batch) >= BATCH or size >= LETTERS_AHEAD_BYTES:
                    if not await self._add(batch, decisions):
                        return False
                    batch, size = [], 0
        return await self._add(batch, decisions)

    async def _add(self, batch: Sequence[tuple[int, Letter]], decisions: Decisions) -> bool:
        """Add letters to the new ledger, and decide about those that it has. Return False if one has to be tried
        again."""
        answers = await asyncio.gather(*(self._new.add(letter) for _, letter in batch), return_exceptions=True)
        added = [number for (number, _), answer in zip(batch, answers, strict=True) if answer is None]
        await asyncio.gather(*(decisions.discard(number, actor(), self._note) for number in added))
        for number in added:
            self._left.pop(number)
        self._tally.moved[Kind.LETTERS] += len(added)
        again: BridgeError | None = None
        for (number, _), answer in zip(batch, answers, strict=True):
            match answer:
                case None:
                    pass
                case TooLarge():
                    self._tally.keep(f"dead letter {number}", answer)
                case BrokerRefused():
                    raise answer
                case BridgeError():
                    again = answer
                    self._tally.unanswered += isinstance(answer, DeferUnconfirmed)
                case defect:
                    raise defect
        if again is not None:
            log.warning("the new broker did not take dead letters, which are tried again: %s", again)
        return again is None
