"""Redrives or discards dead letters one by one, at a given rate, until all are done or the user stops.

`choosing.py` selects the letters. The question, progress and report are in `decision_command.py`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bridge.brokers.contract.ledger import Decisions
from bridge.errors import BridgeError, TooLarge, UnreadableEnvelope, Unroutable
from bridge.ledger import Dead, Letter

log = logging.getLogger(__name__)

Verb = Callable[[Dead], Awaitable[None]]
"""Redrives or discards one letter. Raises one of `STAYS_OPEN` if that is impossible for this letter."""


class LetterGone(BridgeError):
    """The ledger no longer holds the letter: the ledger's retention, set by an operator, has deleted it."""


STAYS_OPEN = (UnreadableEnvelope, Unroutable, TooLarge, LetterGone)


@dataclass(slots=True)
class Tally:
    """The result so far: the count of decided letters, and the skipped letters with the reason why they stay open.

    `current` is the letter that is being decided. If that was interrupted, the letter may be decided or not.
    """

    done: int = 0
    skipped: list[tuple[Dead, str]] = field(default_factory=list)
    current: Dead | None = None


def redriving(
    contents: AsyncIterator[Letter | UnreadableEnvelope | None], decisions: Decisions, actor: str, note: str
) -> Verb:
    """Return the verb that puts a letter back into its own queue, as a new round.

    `contents` is the iterator of `Ledger.letters` for the letters that the verb is called with, in the same order.
    """

    async def redrive(dead: Dead) -> None:
        letter = await anext(contents)
        if letter is None:
            raise LetterGone("the ledger no longer holds the letter")
        if isinstance(letter, UnreadableEnvelope):
            raise letter
        await decisions.redrive(dead.number, letter.revived(datetime.now(UTC)), letter.queue, actor, note)

    return redrive


def discarding(decisions: Decisions, actor: str, note: str) -> Verb:
    """Return the verb that discards a letter. Its entry stays in the ledger."""

    async def discard(dead: Dead) -> None:
        await decisions.discard(dead.number, actor, note)

    return discard


async def decide(
    letters: Sequence[Dead],
    verb: Verb,
    tally: Tally,
    *,
    interval: float,
    stop: asyncio.Event,
    tell: Callable[[Dead, str | None], None],
) -> None:
    """Decide about the letters in order, with at least `interval` seconds between the starts of two.

    The current letter is finished before `stop` ends the loop. `tell` is called for each letter, with None or the
    reason why it was skipped. A letter is skipped and counted if the verb raises one of `STAYS_OPEN`, or an error that
    is none of the bridge's own, which can only be about this letter. Raise the other errors of the bridge: they are
    about the broker.
    """
    clock = asyncio.get_running_loop().time
    due = clock()
    for dead in letters:
        if await _stopped(stop, due - clock()):
            return
        # Count from now and not from the due time: after a slow letter the next ones must not come in a burst.
        due = max(due, clock()) + interval
        tally.current = dead
        why = await _kept_open(verb, dead)
        tally.current = None
        if why is None:
            tally.done += 1
        else:
            tally.skipped.append((dead, why))
        tell(dead, why)


async def _kept_open(verb: Verb, dead: Dead) -> str | None:
    """Decide about one letter; return the reason why it stays open, or None if it is decided."""
    try:
        await verb(dead)
    except STAYS_OPEN as error:
        return str(error)
    except BridgeError:
        raise
    except Exception as error:
        log.exception("internal error while deciding about letter %d; it stays open", dead.number)
        return f"internal error: {type(error).__name__}: {error}"
    return None


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `seconds`, or until `stop` is set; return True if it is set."""
    if seconds <= 0:
        await asyncio.sleep(0)  # the event loop handles signals in this turn
        return stop.is_set()
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
