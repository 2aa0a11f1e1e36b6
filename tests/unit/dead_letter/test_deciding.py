"""The loop of decisions: one letter after the other, at a rate, until it is stopped."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from bridge.errors import BrokerUnavailable, Unroutable
from bridge.ledger import Dead, Discarded, Redriven
from dead_letter.deciding import AT_ONCE, Tally, Verb, decide, discarding, redriving
from tests.limits import PATIENCE
from tests.unit.dead_letter.ledger_double import LedgerDouble, a_letter, unreadable


def _letters(ledger: LedgerDouble) -> list[Dead]:
    return [entry for entry in ledger.all if isinstance(entry, Dead)]


def _redriving(ledger: LedgerDouble, note: str) -> Verb:
    return redriving(ledger.letters([letter.number for letter in _letters(ledger)]), ledger, "ann@host", note)


async def _redrive_all(ledger: LedgerDouble, interval: float = 0.0, stop: asyncio.Event | None = None) -> Tally:
    tally = Tally()
    await _decide(_letters(ledger), _redriving(ledger, "fixed"), tally, interval, stop)
    return tally


async def _decide(
    letters: Sequence[Dead], verb: Verb, tally: Tally, interval: float, stop: asyncio.Event | None
) -> None:
    await decide(letters, verb, tally, interval=interval, stop=stop or asyncio.Event(), tell=lambda *_: None)


async def test_a_redrive_puts_each_letter_into_its_own_queue_as_a_new_round() -> None:
    """The event and its history stay. The count of attempts begins again."""
    ledger = LedgerDouble(a_letter(queue="mail"), a_letter(queue="push"))

    tally = await _redrive_all(ledger)

    assert tally.done == 2
    assert [queue for _, queue in ledger.put] == ["mail", "push"]
    assert [(envelope.round, envelope.spent, len(envelope.attempts)) for envelope, _ in ledger.put] == [(2, 0, 1)] * 2


async def test_decisions_have_an_author_and_a_reason() -> None:
    """The ledger is its own audit trail."""
    ledger = LedgerDouble(a_letter(), a_letter())
    first, second = _letters(ledger)

    await _decide([first], _redriving(ledger, "fixed"), Tally(), 0.0, None)
    await _decide([second], discarding(ledger, "bob@host", "a test"), Tally(), 0.0, None)

    redriven, discarded = ledger.all[2:]
    assert isinstance(redriven, Redriven)
    assert (redriven.letter, redriven.actor, redriven.note) == (1, "ann@host", "fixed")
    assert isinstance(discarded, Discarded)
    assert (discarded.letter, discarded.actor, discarded.note) == (2, "bob@host", "a test")


async def test_letters_that_have_to_stay_open_are_skipped() -> None:
    """A letter is unreadable, its queue is gone, or the letter is gone. The other letters are redriven."""
    ledger = LedgerDouble(unreadable(a_letter()), a_letter(), a_letter(), a_letter())
    ledger.fails[2] = Unroutable("no queue 'mail'")
    del ledger.whole[3]

    tally = await _redrive_all(ledger)

    assert tally.done == 1
    assert [(letter.number, why) for letter, why in tally.skipped] == [
        (1, "the envelope is of version 99, this program knows version 1"),
        (2, "no queue 'mail'"),
        (3, "the ledger no longer holds the letter"),
    ]


async def test_a_broker_that_fails_ends_the_loop_at_the_current_letters() -> None:
    """The decided letters are counted. The others of the same time may be decided or not; no later one is begun."""
    ledger = LedgerDouble(*(a_letter() for _ in range(AT_ONCE + 1)))
    ledger.fails[2] = BrokerUnavailable("gone")
    tally = Tally()

    with pytest.raises(BrokerUnavailable, match="gone"):
        await _decide(_letters(ledger), _redriving(ledger, ""), tally, 0.0, None)

    assert tally.done == len(ledger.put) == AT_ONCE - 1
    assert [letter.number for letter in tally.current] == [2]


async def test_a_rate_is_kept() -> None:
    """With ten letters at intervals of 10 ms, the first is decided at once and the last after 90 ms."""
    ledger = LedgerDouble(*(a_letter() for _ in range(10)))
    began = asyncio.get_running_loop().time()

    await _redrive_all(ledger, interval=0.01)

    assert asyncio.get_running_loop().time() - began >= 0.09


async def test_letters_do_not_come_in_a_burst_after_a_slow_one() -> None:
    """The interval is between two letters. The loop does not catch up with an average."""
    clock = asyncio.get_running_loop().time
    times: list[float] = []

    async def slow_at_first(dead: Dead) -> None:
        times.append(clock())
        if dead.number == 1:
            await asyncio.sleep(0.1)

    await _decide(_letters(LedgerDouble(*(a_letter() for _ in range(4)))), slow_at_first, Tally(), 0.03, None)

    assert all(later - earlier >= 0.029 for earlier, later in pairwise(times))


async def test_a_stop_finishes_the_current_letters_and_begins_no_other() -> None:
    """This holds even if the next letter would not have to wait."""
    stop, tally = asyncio.Event(), Tally()

    async def asked_meanwhile(dead: Dead) -> None:
        stop.set()
        await asyncio.sleep(0)

    await _decide(_letters(LedgerDouble(*(a_letter() for _ in range(200)))), asked_meanwhile, tally, 0.0, stop)

    assert tally.done == AT_ONCE
    assert tally.current == []


async def test_a_high_rate_is_kept() -> None:
    """Letters of one moment are decided at the same time, and on average they come as the rate says."""
    ledger = LedgerDouble(*(a_letter() for _ in range(200)))
    began = asyncio.get_running_loop().time()

    await _redrive_all(ledger, interval=0.0005)

    assert asyncio.get_running_loop().time() - began >= 0.09


async def test_letters_are_put_back_in_their_order() -> None:
    """Also if reading one of them takes longer than reading the others."""
    ledger = LedgerDouble(*(a_letter(event_id=str(number)) for number in range(200)))

    await _redrive_all(ledger)

    assert [envelope.event.id for envelope, _ in ledger.put] == [str(number) for number in range(200)]


async def test_a_stop_does_not_wait_for_the_interval() -> None:
    """At one letter an hour, Ctrl-C ends the loop at once."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, stop.set)

    tally = await asyncio.wait_for(
        _redrive_all(LedgerDouble(a_letter(), a_letter()), interval=3600.0, stop=stop), timeout=PATIENCE
    )

    assert tally.done == 1
