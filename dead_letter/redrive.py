"""Deciding about dead letters, one after the other, at a given pace, until done or asked to stop.

Not here: which letters (`choosing.py`), and what people see of it (`cli.py`).
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bridge.brokers.contract import Decisions, Ledger
from bridge.errors import BridgeError, UnreadableEnvelope, Unroutable
from bridge.ledger import Dead

Verb = Callable[[Dead], Awaitable[None]]
"""Decides about one letter. Raises one of `STAYS_OPEN` where nothing can be done about this one."""


class LetterGone(BridgeError):
    """The ledger no longer holds the letter: an operator's retention has taken it."""


STAYS_OPEN = (UnreadableEnvelope, Unroutable, LetterGone)


@dataclass(slots=True)
class Stop:
    """The wish to stop, and the signal that it came by."""

    wished: asyncio.Event = field(default_factory=asyncio.Event)
    by: signal.Signals | None = None


@dataclass(slots=True)
class Tally:
    """What became of the letters so far: how many were decided, and why the skipped ones stay open. `in_hand` is the
    one that is being decided: where that broke off, it is unknown what became of it."""

    done: int = 0
    skipped: list[tuple[Dead, str]] = field(default_factory=list)
    in_hand: Dead | None = None


def redriving(ledger: Ledger, decisions: Decisions, actor: str, note: str) -> Verb:
    """Return the verb that puts a letter back into its own queue, as a new round."""

    async def redrive(dead: Dead) -> None:
        letter = await ledger.letter(dead.number)
        if letter is None:
            raise LetterGone("the ledger no longer holds it")
        await decisions.redrive(dead.number, letter.revived(datetime.now(UTC)), letter.queue, actor, note)

    return redrive


def discarding(decisions: Decisions, actor: str, note: str) -> Verb:
    """Return the verb that lets a letter go; its entry stays in the ledger."""

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
    """Decide about the letters in order, each at least `interval` seconds after the one before. A letter in hand is
    finished; `stop` is heeded between two. `tell` hears of each letter, with the reason where it was skipped.

    Raises what the verb raises, but for a letter that has to stay open: that is counted and passed over.
    """
    clock = asyncio.get_running_loop().time
    due = clock()
    for dead in letters:
        if await _stopped(stop, due - clock()):
            return
        # from now, not from when it was due: after a slow letter the others do not come in a burst
        due = max(due, clock()) + interval
        tally.in_hand = dead
        why = await _kept_open(verb, dead)
        tally.in_hand = None
        if why is None:
            tally.done += 1
        else:
            tally.skipped.append((dead, why))
        tell(dead, why)


@contextmanager
def stop_on_signals(say: Callable[[], None]) -> Iterator[Stop]:
    """Turn the first SIGINT or SIGTERM into the wish to stop, told by `say`. The second one ends the program."""
    loop = asyncio.get_running_loop()
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def wish(number: signal.Signals) -> None:
        stop.by = number
        stop.wished.set()
        for each in numbers:
            loop.remove_signal_handler(each)
        say()

    for number in numbers:
        loop.add_signal_handler(number, wish, number)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _kept_open(verb: Verb, dead: Dead) -> str | None:
    """Decide about one letter; return why it has to stay open, None where it is decided."""
    try:
        await verb(dead)
    except STAYS_OPEN as error:
        return str(error)
    return None


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Wait so many seconds, or until asked to stop; tell whether asked."""
    if seconds <= 0:
        await asyncio.sleep(0)  # a turn of the loop, in which a signal is heard
        return stop.is_set()
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
