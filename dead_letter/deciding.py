"""Redrives or discards dead letters, some at the same time, at a given rate, until all are done or the user stops.

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


AT_ONCE = 64
"""The most letters that are decided at the same time. A broker then confirms them together."""

TICK_SECONDS = 0.01
"""The time of the letters that are decided at the same time, at a given rate."""

STAYS_OPEN = (UnreadableEnvelope, Unroutable, TooLarge, LetterGone)


@dataclass(slots=True)
class Tally:
    """The result so far: the count of decided letters, and the skipped letters with the reason why they stay open.

    `current` has the letters that are being decided. If that was interrupted, each may be decided or not.
    """

    done: int = 0
    skipped: list[tuple[Dead, str]] = field(default_factory=list)
    current: list[Dead] = field(default_factory=list)


def redriving(
    contents: AsyncIterator[Letter | UnreadableEnvelope | None], decisions: Decisions, actor: str, note: str
) -> Verb:
    """Return the verb that puts a letter back into its own queue, as a new round.

    `contents` is the iterator of `Ledger.letters` for the letters that the verb is called with, in the same order. The
    verb may be called again before it has returned: the letters are put back in the order of the calls.
    """
    turn = asyncio.Lock()  # fair: in the order of the calls

    async def redrive(dead: Dead) -> None:
        async with turn:
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
    """Decide about the letters in order, on average one in `interval` seconds: up to `AT_ONCE` of them at the same
    time, and with an interval those of `TICK_SECONDS`.

    The current letters are finished before `stop` ends the loop. `tell` is called for each letter, with None or the
    reason why it was skipped. A letter is skipped and counted if the verb raises one of `STAYS_OPEN`, or an error that
    is none of the bridge's own, which can only be about this letter. Raise the other errors of the bridge: they are
    about the broker.
    """
    clock = asyncio.get_running_loop().time
    due = clock()
    size = max(1, min(AT_ONCE, int(TICK_SECONDS / interval))) if interval else AT_ONCE
    for start in range(0, len(letters), size):
        if await _stopped(stop, due - clock()):
            return
        tally.current = list(letters[start : start + size])
        # Count from now and not from the due time: after a slow letter the next ones must not come in a burst.
        due = max(due, clock()) + interval * len(tally.current)
        results = await asyncio.gather(*(_kept_open(verb, dead) for dead in tally.current), return_exceptions=True)
        _count(tally, results, tell)


def _count(
    tally: Tally, results: Sequence[str | BaseException | None], tell: Callable[[Dead, str | None], None]
) -> None:
    """Count the current letters by their results. Those whose result is an error stay current; raise the first one."""
    undecided: list[Dead] = []
    for dead, why in zip(tally.current, results, strict=True):
        if isinstance(why, BaseException):
            undecided.append(dead)
            continue
        if why is None:
            tally.done += 1
        else:
            tally.skipped.append((dead, why))
        tell(dead, why)
    tally.current = undecided
    for error in results:
        if isinstance(error, BaseException):
            raise error


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
