"""Publishing with a spool: where an event goes, what the caller is told, and how soon."""

import asyncio
import logging
import time
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.brokers.spool.spool_file import SpoolFile
from bridge.errors import DeferError, DeferRejected, DeferUnconfirmed, TooLarge, Unroutable
from tests.unit.spool.doubles import AMPLE, BUDGET, Answer, SwitchedBroker, a_spool, an_event, count, spooling, until


@pytest.fixture
def file(tmp_path: Path) -> SpoolFile:
    """A spool of the test's own."""
    return a_spool(tmp_path)


async def test_while_the_broker_answers_nothing_is_spooled(file: SpoolFile) -> None:
    """It is confirmed by the broker."""
    broker = SwitchedBroker()

    async with spooling(broker, file) as publisher:
        await publisher.publish(an_event(1), within=AMPLE)

    assert broker.numbers == [1]
    assert count(file) == 0


SILENT: list[Answer] = ["silence", "away"]


@pytest.mark.parametrize("answer", SILENT)
async def test_the_event_that_is_not_answered_is_spooled_within_its_budget(file: SpoolFile, answer: Answer) -> None:
    """Whether it was written or not."""
    async with spooling(SwitchedBroker(answer), file) as publisher:
        began = time.monotonic()
        await publisher.publish(an_event(), within=BUDGET)
        seconds = time.monotonic() - began

        assert count(file) == 1
        assert seconds < BUDGET + 0.25


@pytest.mark.parametrize("answer", SILENT)
async def test_after_that_no_event_waits_for_the_broker(file: SpoolFile, answer: Answer) -> None:
    """It is spooled at once."""
    broker = SwitchedBroker(answer)

    async with spooling(broker, file) as publisher:
        await publisher.publish(an_event(), within=BUDGET)
        began = time.monotonic()
        for _ in range(20):
            await publisher.publish(an_event(), within=60.0)

        assert time.monotonic() - began < 2.0
        assert count(file) == 21


async def test_what_is_in_flight_when_the_circuit_opens_waits_no_longer(file: SpoolFile) -> None:
    """It is spooled with the event that opened it, however much of its own budget is left."""
    async with spooling(SwitchedBroker("silence"), file) as publisher:
        began = time.monotonic()
        waiting = [asyncio.create_task(publisher.publish(an_event(number), within=60.0)) for number in range(5)]
        await publisher.publish(an_event(), within=BUDGET)
        await asyncio.gather(*waiting)

        assert time.monotonic() - began < BUDGET + 1.0
        assert count(file) == 6


async def test_a_caller_that_is_cancelled_is_not_spooled(file: SpoolFile) -> None:
    """Only the circuit gives up an event for the spool."""
    async with spooling(SwitchedBroker("silence"), file) as publisher:
        waiting = asyncio.create_task(publisher.publish(an_event(), within=60.0))
        await asyncio.sleep(0)
        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert count(file) == 0


REFUSALS: list[tuple[Answer, type[DeferError]]] = [
    ("full", DeferRejected),
    ("unroutable", Unroutable),
    ("too large", TooLarge),
]


@pytest.mark.parametrize(("answer", "error"), REFUSALS)
async def test_a_no_of_a_live_broker_is_raised(file: SpoolFile, answer: Answer, error: type[DeferError]) -> None:
    """As without a spool; the next event goes to the broker."""
    broker = SwitchedBroker(answer)

    async with spooling(broker, file) as publisher:
        with pytest.raises(error):
            await publisher.publish(an_event(1), within=AMPLE)
        broker.answer = "confirm"
        await publisher.publish(an_event(2), within=AMPLE)

    assert broker.numbers == [2]
    assert count(file) == 0


async def test_when_the_broker_is_back_events_go_to_it_again(file: SpoolFile) -> None:
    """What closes the circuit is a spooled event, and no request."""
    broker = SwitchedBroker("gone")

    async with spooling(broker, file) as publisher:
        await publisher.publish(an_event(1), within=AMPLE)
        broker.answer = "confirm"
        await until(lambda: count(file) == 0)
        await publisher.publish(an_event(2), within=AMPLE)

    assert broker.numbers == [1, 2]
    assert count(file) == 0


async def test_a_broker_that_is_reached_and_confirms_nothing_costs_no_request_anything(file: SpoolFile) -> None:
    """So it is with one that is blocked by an alarm: the circuit stays open."""
    broker = SwitchedBroker("silence")

    async with spooling(broker, file) as publisher:
        await publisher.publish(an_event(1), within=BUDGET)
        await until(lambda: len(broker.unconfirmed) == 2)  # the relay tries it: half open
        began = time.monotonic()
        await publisher.publish(an_event(2), within=60.0)

        assert time.monotonic() - began < 1.0


async def test_a_no_to_what_is_spooled_closes_the_circuit(file: SpoolFile) -> None:
    """It is an answer: the next event hears it from the broker itself."""
    broker = SwitchedBroker("gone")

    async with spooling(broker, file) as publisher:
        await publisher.publish(an_event(1), within=AMPLE)
        broker.answer = "full"
        await until(lambda: broker.tries >= 2)
        with pytest.raises(DeferRejected, match="a full queue"):
            await publisher.publish(an_event(2), within=AMPLE)

        assert count(file) == 1


async def test_the_circuit_closes_where_another_process_has_relayed(file: SpoolFile) -> None:
    """Its proof is that what opened the circuit is gone, and that the broker is reached from here too."""
    broker = SwitchedBroker("gone")
    there = SwitchedBroker("gone")

    async with spooling(broker, file) as publisher, spooling(there, file) as other:
        await publisher.publish(an_event(1), within=AMPLE)
        other.start()
        there.answer = "confirm"
        await until(lambda: count(file) == 0)
        broker.answer = "confirm"
        await until(lambda: publisher._circuit.closed)

    assert (broker.numbers, there.numbers) == ([], [1])


async def test_a_delay_goes_through_the_spool(file: SpoolFile) -> None:
    """The event is relayed at once, with the moment for which it was asked."""
    broker, event = SwitchedBroker("gone"), an_event(1)
    due = event.time + timedelta(hours=2)

    async with spooling(broker, file) as publisher:
        await publisher.publish(event, due, within=AMPLE)
        broker.answer = "confirm"
        await until(lambda: bool(broker.taken))

    assert broker.taken == [(event, due)]


async def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    """The error says that nothing was published. What is freed by the relay is room again."""
    file, broker = a_spool(tmp_path, limit=1024**2), SwitchedBroker("gone")
    large = an_event(1)
    object.__setattr__(large, "data", b" " * 100_000 + b"1")

    async with spooling(broker, file) as publisher:
        await publisher.publish(large, within=AMPLE)
        with pytest.raises(DeferRejected, match=r"spool.db: database or disk is full"):
            for _ in range(20):
                await publisher.publish(large, within=AMPLE)
        kept = count(file)
        broker.answer = "confirm"
        await until(lambda: count(file) == 0)
        broker.answer = "gone"
        for _ in range(kept):
            await publisher.publish(large, within=AMPLE)

        assert 5 < kept < 11
        assert broker.numbers[:kept] == [1] * kept
        assert count(file) == kept


async def test_a_spool_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """As is what is missing. The circuit closes all the same when the broker is back."""
    broker = SwitchedBroker("gone")

    async with spooling(broker, a_spool(tmp_path / "missing")) as publisher:
        with pytest.raises(DeferRejected, match=r"there is no directory .*missing"):
            await publisher.publish(an_event(1), within=AMPLE)
        broker.answer = "confirm"
        await until(lambda: publisher._circuit.closed)
        await publisher.publish(an_event(2), within=AMPLE)

    assert broker.numbers == [2]


async def test_what_was_written_and_cannot_be_spooled_may_still_run(tmp_path: Path) -> None:
    """So the caller is not told that nothing was published."""
    async with spooling(SwitchedBroker("silence"), a_spool(tmp_path / "missing")) as publisher:
        with pytest.raises(DeferUnconfirmed, match="may still run"):
            await publisher.publish(an_event(), within=BUDGET)


async def test_at_the_end_of_a_process_what_is_not_confirmed_is_spooled(file: SpoolFile) -> None:
    """Its callers are told that it is taken."""
    publishing = spooling(SwitchedBroker("silence"), file)

    async with publishing as publisher:
        waiting = [asyncio.create_task(publisher.publish(an_event(number), within=60.0)) for number in range(3)]
        await asyncio.sleep(0)
        began = time.monotonic()
    await asyncio.gather(*waiting)

    assert time.monotonic() - began < publisher.closing
    assert count(file) == 3


async def test_the_log_says_where_events_go(file: SpoolFile, caplog: pytest.LogCaptureFixture) -> None:
    """Once when they go to the spool, and once when all is well again."""
    broker = SwitchedBroker("gone")

    with caplog.at_level(logging.INFO, "bridge"):
        async with spooling(broker, file) as publisher:
            for number in range(3):
                await publisher.publish(an_event(number), within=AMPLE)
            broker.answer = "confirm"
            await until(lambda: "empty again" in caplog.text)

    opened, *others = [record.message for record in caplog.records]
    assert opened.startswith(f"the test's broker does not answer: events go to the spool {file.path}: ")
    assert others == [
        "the test's broker answers again: events go to it",
        f"3 events from the spool {file.path} were published; empty again",
    ]
