"""Publishing with a spool: the event's destination, the caller's result, and the time until the caller has it."""

import asyncio
import logging
import time
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.errors import DeferError, DeferRejected, DeferUnconfirmed, TooLarge, Unroutable
from bridge.publishing.spool.spool_file import SpoolFile
from tests.deadlines import within
from tests.limits import PATIENCE
from tests.unit.bridge.publishing.doubles import (
    AMPLE,
    BUDGET,
    Answer,
    SwitchedBroker,
    a_spool,
    an_event,
    count,
    spooling,
    until,
)


@pytest.fixture
def file(tmp_path: Path) -> SpoolFile:
    """Return a spool of the test's own."""
    return a_spool(tmp_path)


async def test_while_the_broker_answers_nothing_is_spooled(file: SpoolFile) -> None:
    """The broker confirms every event."""
    broker = SwitchedBroker()

    async with spooling(broker, file) as publisher:
        destination = await publisher.publish(an_event(1), deadline=within(AMPLE))

    assert destination == "broker"
    assert broker.numbers == [1]
    assert count(file) == 0


SILENT: list[Answer] = ["silence", "away"]


@pytest.mark.parametrize("answer", SILENT)
async def test_an_event_without_an_answer_is_spooled_within_its_budget(file: SpoolFile, answer: Answer) -> None:
    """This holds if the event was written to the broker, and if it was not."""
    async with spooling(SwitchedBroker(answer), file) as publisher:
        began = time.monotonic()
        destination = await publisher.publish(an_event(), deadline=within(BUDGET))
        seconds = time.monotonic() - began

        assert destination == "spool"
        assert count(file) == 1
        assert seconds < BUDGET + 30


@pytest.mark.parametrize("answer", SILENT)
async def test_after_a_timeout_no_event_waits_for_the_broker(file: SpoolFile, answer: Answer) -> None:
    """The next event is spooled at once."""
    broker = SwitchedBroker(answer)

    async with spooling(broker, file) as publisher:
        await publisher.publish(an_event(), deadline=within(BUDGET))
        began = time.monotonic()
        for _ in range(20):
            await publisher.publish(an_event(), deadline=within(PATIENCE))

        assert time.monotonic() - began < 30
        assert count(file) == 21


async def test_events_in_flight_when_the_circuit_opens_are_spooled_at_once(file: SpoolFile) -> None:
    """Their own budgets would have left them more time."""
    async with spooling(SwitchedBroker("silence"), file) as publisher:
        began = time.monotonic()
        waiting = [
            asyncio.create_task(publisher.publish(an_event(number), deadline=within(PATIENCE))) for number in range(5)
        ]
        await publisher.publish(an_event(), deadline=within(BUDGET))
        await asyncio.gather(*waiting)

        assert time.monotonic() - began < BUDGET + 30
        assert count(file) == 6


async def test_a_caller_that_is_cancelled_is_not_spooled(file: SpoolFile) -> None:
    """An event is spooled when the circuit opens, and not when its caller is cancelled."""
    async with spooling(SwitchedBroker("silence"), file) as publisher:
        waiting = asyncio.create_task(publisher.publish(an_event(), deadline=within(PATIENCE)))
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
async def test_a_refusal_of_a_live_broker_is_raised(file: SpoolFile, answer: Answer, error: type[DeferError]) -> None:
    """The result is the same as without a spool. The next event goes to the broker."""
    broker = SwitchedBroker(answer)

    async with spooling(broker, file) as publisher:
        with pytest.raises(error):
            await publisher.publish(an_event(1), deadline=within(AMPLE))
        broker.answer = "confirm"
        await publisher.publish(an_event(2), deadline=within(AMPLE))

    assert broker.numbers == [2]
    assert count(file) == 0


async def test_when_the_broker_is_back_events_go_to_it_again(file: SpoolFile) -> None:
    """A relayed event closes the circuit; no request has to try."""
    broker = SwitchedBroker("gone")

    async with spooling(broker, file) as publisher:
        await publisher.publish(an_event(1), deadline=within(AMPLE))
        broker.answer = "confirm"
        await until(lambda: count(file) == 0)
        await publisher.publish(an_event(2), deadline=within(AMPLE))

    assert broker.numbers == [1, 2]
    assert count(file) == 0


async def test_a_broker_that_is_reached_and_confirms_nothing_delays_no_request(file: SpoolFile) -> None:
    """For instance RabbitMQ under a memory alarm: the circuit stays open."""
    broker = SwitchedBroker("silence")

    async with spooling(broker, file) as publisher:
        await publisher.publish(an_event(1), deadline=within(3 * BUDGET))  # a stalled disk delays the spool
        await until(lambda: len(broker.unconfirmed) == 2)  # the relay has tried an event: the circuit is HALF_OPEN
        began = time.monotonic()
        await publisher.publish(an_event(2), deadline=within(PATIENCE))

        assert time.monotonic() - began < 10


async def test_a_refusal_of_a_spooled_event_closes_the_circuit(file: SpoolFile) -> None:
    """A refusal is an answer. The next caller receives the broker's own error."""
    broker = SwitchedBroker("gone")

    async with spooling(broker, file) as publisher:
        await publisher.publish(an_event(1), deadline=within(AMPLE))
        broker.answer = "full"
        await until(lambda: broker.tries >= 2)
        with pytest.raises(DeferRejected, match="a full queue"):
            await publisher.publish(an_event(2), deadline=within(AMPLE))

        assert count(file) == 1


async def test_the_circuit_closes_when_another_process_has_relayed(file: SpoolFile) -> None:
    """Two facts prove it: the event that opened the circuit has left the spool, and this process reaches the broker."""
    broker = SwitchedBroker("gone")
    there = SwitchedBroker("gone")

    async with spooling(broker, file) as publisher, spooling(there, file) as other:
        await publisher.publish(an_event(1), deadline=within(AMPLE))
        other.start()
        there.answer = "confirm"
        await until(lambda: count(file) == 0)
        broker.answer = "confirm"
        await until(lambda: publisher._circuit.closed)

    assert (broker.numbers, there.numbers) == ([], [1])


async def test_a_delay_goes_through_the_spool(file: SpoolFile) -> None:
    """The event is relayed at once, with the due time that its caller asked for."""
    broker, event = SwitchedBroker("gone"), an_event(1)
    due = event.time + timedelta(hours=2)

    async with spooling(broker, file) as publisher:
        await publisher.publish(event, due, deadline=within(AMPLE))
        broker.answer = "confirm"
        await until(lambda: bool(broker.taken))

    assert broker.taken == [(event, due)]


async def test_a_full_spool_refuses_and_keeps_its_events(tmp_path: Path) -> None:
    """The error says that nothing was published. When the relay has deleted events, there is room again."""
    file, broker = a_spool(tmp_path, limit=1024**2), SwitchedBroker("gone")
    large = an_event(1)._replace(data=b" " * 100_000 + b"1")

    async with spooling(broker, file) as publisher:
        await publisher.publish(large, deadline=within(AMPLE))
        with pytest.raises(DeferRejected, match=r"spool.db: database or disk is full"):
            for _ in range(20):
                await publisher.publish(large, deadline=within(AMPLE))
        kept = count(file)
        broker.answer = "confirm"
        await until(lambda: count(file) == 0)
        broker.answer = "gone"
        for _ in range(kept):
            await publisher.publish(large, deadline=within(AMPLE))

        assert 5 < kept < 11
        assert broker.numbers[:kept] == [1] * kept
        assert count(file) == kept


async def test_a_spool_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error names the file and the cause. The circuit closes when the broker is back."""
    broker = SwitchedBroker("gone")

    async with spooling(broker, a_spool(tmp_path / "missing")) as publisher:
        with pytest.raises(DeferRejected, match=r"there is no directory .*missing"):
            await publisher.publish(an_event(1), deadline=within(AMPLE))
        broker.answer = "confirm"
        await until(lambda: publisher._circuit.closed)
        await publisher.publish(an_event(2), deadline=within(AMPLE))

    assert broker.numbers == [2]


async def test_an_event_that_was_written_and_cannot_be_spooled_is_unconfirmed(tmp_path: Path) -> None:
    """The error does not say that nothing was published."""
    async with spooling(SwitchedBroker("silence"), a_spool(tmp_path / "missing")) as publisher:
        with pytest.raises(DeferUnconfirmed, match="may still run"):
            await publisher.publish(an_event(), deadline=within(BUDGET))


async def test_at_the_end_of_a_process_unconfirmed_events_are_spooled(file: SpoolFile) -> None:
    """Their callers receive a success."""
    publishing = spooling(SwitchedBroker("silence"), file)

    async with publishing as publisher:
        waiting = [
            asyncio.create_task(publisher.publish(an_event(number), deadline=within(PATIENCE))) for number in range(3)
        ]
        await asyncio.sleep(0)
        began = time.monotonic()
    await asyncio.gather(*waiting)

    assert time.monotonic() - began < publisher.closing
    assert count(file) == 3


async def test_the_log_says_where_events_go(file: SpoolFile, caplog: pytest.LogCaptureFixture) -> None:
    """The log has one line when events go to the spool, and one when they go to the broker again."""
    broker = SwitchedBroker("gone")

    with caplog.at_level(logging.INFO, "bridge"):
        async with spooling(broker, file) as publisher:
            for number in range(3):
                await publisher.publish(an_event(number), deadline=within(AMPLE))
            broker.answer = "confirm"
            await until(lambda: "empty again" in caplog.text)

    opened, *others = [record.message for record in caplog.records]
    assert opened.startswith(f"the test's broker does not answer: events go to the spool {file.path}: ")
    assert others == [
        "the test's broker answers again: events go to it",
        f"3 events from the spool {file.path} were published; it is empty again",
    ]
