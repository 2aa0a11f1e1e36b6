"""Deciding about letters: one after the other, in pace, until asked to stop."""

import asyncio
import os
import signal
from collections.abc import Sequence
from itertools import pairwise

import pytest

from bridge.errors import BrokerUnavailable, Unroutable
from bridge.ledger import Dead, Discarded, Redriven
from dead_letter.redrive import Tally, Verb, decide, discarding, redriving, stop_on_signals
from tests.unit.dead_letter.ledger_double import LedgerDouble, a_letter, unreadable


def _letters(ledger: LedgerDouble) -> list[Dead]:
    return [entry for entry in ledger.all if isinstance(entry, Dead)]


async def _redrive_all(ledger: LedgerDouble, interval: float = 0.0, stop: asyncio.Event | None = None) -> Tally:
    tally = Tally()
    verb = redriving(ledger, ledger, "ann@host", "fixed")
    await _decide(_letters(ledger), verb, tally, interval, stop)
    return tally


async def _decide(
    letters: Sequence[Dead], verb: Verb, tally: Tally, interval: float, stop: asyncio.Event | None
) -> None:
    await decide(letters, verb, tally, interval=interval, stop=stop or asyncio.Event(), tell=lambda *_: None)


async def test_a_redrive_puts_each_letter_into_its_own_queue_as_a_new_round() -> None:
    """The event and its history stay; the count of attempts begins again."""
    ledger = LedgerDouble(a_letter(queue="mail"), a_letter(queue="push"))

    tally = await _redrive_all(ledger)

    assert tally.done == 2
    assert [queue for _, queue in ledger.put] == ["mail", "push"]
    assert [(envelope.round, envelope.spent, len(envelope.attempts)) for envelope, _ in ledger.put] == [(2, 0, 1)] * 2


async def test_decisions_carry_who_and_why() -> None:
    """The ledger is its own audit trail."""
    ledger = LedgerDouble(a_letter(), a_letter())
    first, second = _letters(ledger)

    await _decide([first], redriving(ledger, ledger, "ann@host", "fixed"), Tally(), 0.0, None)
    await _decide([second], discarding(ledger, "bob@host", "a test"), Tally(), 0.0, None)

    redriven, discarded = ledger.all[2:]
    assert isinstance(redriven, Redriven)
    assert (redriven.letter, redriven.actor, redriven.note) == (1, "ann@host", "fixed")
    assert isinstance(discarded, Discarded)
    assert (discarded.letter, discarded.actor, discarded.note) == (2, "bob@host", "a test")


async def test_letters_that_have_to_stay_open_are_passed_over() -> None:
    """Unreadable, its queue gone, or gone itself: the others are redriven."""
    ledger = LedgerDouble(unreadable(a_letter()), a_letter(), a_letter(), a_letter())
    ledger.fails[2] = Unroutable("no queue 'mail'")
    del ledger.letters[3]

    tally = await _redrive_all(ledger)

    assert tally.done == 1
    assert [(letter.number, why) for letter, why in tally.skipped] == [
        (1, "the envelope is of version 99, this program knows version 1"),
        (2, "no queue 'mail'"),
        (3, "the ledger no longer holds it"),
    ]


async def test_a_broker_that_fails_ends_it_and_leaves_the_letter_in_hand() -> None:
    """What was done is counted; of the one in hand it is not known."""
    ledger = LedgerDouble(a_letter(), a_letter(), a_letter())
    ledger.fails[2] = BrokerUnavailable("gone")
    tally = Tally()

    with pytest.raises(BrokerUnavailable, match="gone"):
        await _decide(_letters(ledger), redriving(ledger, ledger, "ann@host", ""), tally, 0.0, None)

    assert tally.done == 1
    assert tally.in_hand is not None
    assert tally.in_hand.number == 2


async def test_a_rate_is_kept() -> None:
    """Ten letters, 10 ms apart: the first comes at once, the last 90 ms later."""
    ledger = LedgerDouble(*(a_letter() for _ in range(10)))
    began = asyncio.get_running_loop().time()

    await _redrive_all(ledger, interval=0.01)

    assert asyncio.get_running_loop().time() - began >= 0.09


async def test_letters_do_not_come_in_a_burst_after_a_slow_one() -> None:
    """The pace is between two letters, not an average to catch up with."""
    clock = asyncio.get_running_loop().time
    times: list[float] = []

    async def slow_at_first(dead: Dead) -> None:
        times.append(clock())
        if dead.number == 1:
            await asyncio.sleep(0.1)

    await _decide(_letters(LedgerDouble(*(a_letter() for _ in range(4)))), slow_at_first, Tally(), 0.03, None)

    assert all(later - earlier >= 0.029 for earlier, later in pairwise(times))


async def test_asked_to_stop_it_finishes_the_letter_in_hand_and_takes_no_other() -> None:
    """Even where the next would not have had to wait."""
    stop, tally = asyncio.Event(), Tally()

    async def asked_meanwhile(dead: Dead) -> None:
        stop.set()
        await asyncio.sleep(0)

    await _decide(_letters(LedgerDouble(a_letter(), a_letter())), asked_meanwhile, tally, 0.0, stop)

    assert tally.done == 1
    assert tally.in_hand is None


async def test_asked_to_stop_it_does_not_wait_for_its_pace() -> None:
    """At one letter an hour, Ctrl-C is still heard at once."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, stop.set)

    tally = await asyncio.wait_for(
        _redrive_all(LedgerDouble(a_letter(), a_letter()), interval=3600.0, stop=stop), timeout=10
    )

    assert tally.done == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_becomes_the_wish_to_stop(number: signal.Signals) -> None:
    """It is said, and known by which signal it came."""
    said: list[str] = []

    with stop_on_signals(lambda: said.append("stopping")) as stop:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wished.wait(), timeout=10)

    assert stop.by == number
    assert said == ["stopping"]


async def test_only_the_first_signal_is_taken() -> None:
    """The second one does what it always does: here, it ends what waits for the letter in hand."""
    with pytest.raises(KeyboardInterrupt), stop_on_signals(lambda: None) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(stop.wished.wait(), timeout=10)
        signal.raise_signal(signal.SIGINT)
