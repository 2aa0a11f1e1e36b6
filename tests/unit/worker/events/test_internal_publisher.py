"""The publisher of internal events: each once, and never at the expense of the worker."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NoReturn

import pytest

from bridge.controls import Pause
from bridge.deadline import Deadline
from bridge.envelope import Envelope
from bridge.errors import BrokerUnavailable
from bridge.event import Event
from bridge.ledger import Entry
from bridge.moments import BrokerBack, ChildLost, Paused, Resumed, Settled
from bridge.outcome import Failed
from bridge.queues import Queue
from bridge.settlement import DeadLetter
from tests.unit.bridge.examples import ERROR, envelope, event
from tests.unit.dead_letter.ledger_double import LedgerDouble, a_letter
from worker.events import internal_publisher
from worker.events.internal_publisher import InternalPublisher

ALERTS = [Queue("alerts", ("bridge.#",)), Queue("audit", ("bridge.child.*",)), Queue("default")]
LOST = ChildLost(17, "was killed by SIGKILL", 3)


class FakePublisher:
    """A publisher that keeps what is put, or raises, or waits for ever."""

    def __init__(self, error: Exception | None = None, *, hangs: bool = False) -> None:
        self.put_events: list[tuple[str, Event]] = []
        self.tries = 0
        self.closed = False
        self._error = error
        self._hangs = hangs

    async def ready(self, deadline: Deadline) -> None: ...

    async def publish(
        self,
        event: Event,
        due: datetime | None = None,
        *,
        deadline: Deadline | None = None,
        within: timedelta | None = None,
    ) -> None:
        raise AssertionError("an internal event is put into the queues that name it")

    def at_once(self, event: Event, due: datetime | None = None, *, deadline: Deadline) -> None:
        raise AssertionError("an internal event is put into the queues that name it")

    async def put(
        self, envelope: Envelope, queue: str, due: datetime | None = None, *, deadline: Deadline | None = None
    ) -> None:
        self.tries += 1
        if self._hangs:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error
        self.put_events.append((queue, envelope.event))

    async def close(self) -> None:
        self.closed = True


def _same(publisher: FakePublisher) -> FakePublisher:
    return publisher


def _died(event_id: str, queue: str) -> Settled:
    """Return the moment of a dead letter."""
    whose = envelope(event=event(id=event_id))
    return Settled(whose, queue, Failed(ERROR), DeadLetter(whose, "rejected", ERROR), 0.1)


async def test_an_event_is_put_into_each_queue_that_names_it() -> None:
    """With one id. What waits at the end of the worker is published before it ends."""
    publisher, internal = FakePublisher(), InternalPublisher(ALERTS)

    async with internal.publishing(lambda: publisher, LedgerDouble):
        internal(LOST)
        internal(BrokerBack(1.0))

    (first, one), (second, other), (third, back) = publisher.put_events
    assert (first, second, third) == ("alerts", "audit", "alerts")
    assert one == other
    assert (one.name, back.name, one.source) == ("bridge.child.lost", "bridge.broker.lost", "bridge")
    payload = json.loads(one.data)
    assert (payload["pid"], set(payload["worker"])) == (17, {"host", "pid"})
    assert publisher.closed


async def test_what_each_worker_tells_has_one_id() -> None:
    """A listener that must act once recognises it."""
    pause = Pause("p1", "mail", None, None, "ana@web1", "provider down", datetime.now(UTC))
    ids = []
    for _ in range(2):
        publisher, internal = FakePublisher(), InternalPublisher(ALERTS)
        async with internal.publishing(partial(_same, publisher), LedgerDouble):
            internal(Paused(pause))
            internal(Resumed(pause))
        ids.append([each.id for _, each in publisher.put_events])

    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


async def test_the_event_of_a_dead_letter_has_the_number_in_the_ledger() -> None:
    """That of the newest letter of this event and this queue. The ledger is read once for many, and no further than
    needed."""
    of_mail, of_other = a_letter(event_id="7", queue="mail"), a_letter(event_id="7", queue="other")
    ledger = LedgerDouble(of_mail, of_other, of_mail, a_letter(event_id="8", queue="mail"))
    publisher, internal = FakePublisher(), InternalPublisher(ALERTS[:1])

    async with internal.publishing(lambda: publisher, lambda: ledger):
        internal(_died("8", "mail"))
        internal(_died("7", "mail"))

    assert [json.loads(each.data)["number"] for _, each in publisher.put_events] == [4, 3]
    assert ledger.yielded == 2


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), KeyError("a defect")])
async def test_a_ledger_that_cannot_be_read_drops_no_event(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The event is published without the number."""

    class Unreadable(LedgerDouble):
        async def entries_back(self) -> AsyncGenerator[Entry, None]:
            raise error
            yield

    publisher, internal = FakePublisher(), InternalPublisher(ALERTS[:1])

    async with internal.publishing(lambda: publisher, Unreadable):
        internal(_died("7", "mail"))

    ((_, published),) = publisher.put_events
    assert json.loads(published.data)["number"] is None
    assert "number" in caplog.text


async def test_a_site_that_asks_for_none_has_no_publisher() -> None:
    """It costs such a site no connection."""
    internal = InternalPublisher([Queue("all", ("#",)), Queue("default")])

    def refuse() -> NoReturn:
        raise AssertionError("no connection is needed")

    async with internal.publishing(refuse, refuse):
        internal(LOST)


async def test_what_the_broker_refuses_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """It is tried once. The log has the 1st, 10th, 100th … with the reason."""
    publisher, internal = FakePublisher(BrokerUnavailable("away")), InternalPublisher(ALERTS[:1])

    with caplog.at_level(logging.WARNING):
        async with internal.publishing(lambda: publisher, LedgerDouble):
            for _ in range(10):
                internal(LOST)

    assert publisher.tries == 10
    assert [record.getMessage() for record in caplog.records] == [
        "an internal event is dropped, 1 so far: away",
        "an internal event is dropped, 10 so far: away",
    ]


async def test_a_broker_that_hangs_holds_nothing_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full line drops further events, and the end of the worker does not wait for the broker."""
    monkeypatch.setattr(internal_publisher, "LINE", 3)
    monkeypatch.setattr(internal_publisher, "LAST_WITHIN", 0.05)
    publisher, internal = FakePublisher(hangs=True), InternalPublisher(ALERTS[:1])

    async with internal.publishing(lambda: publisher, LedgerDouble):
        for _ in range(5):
            internal(LOST)

    assert publisher.tries == 1
    assert publisher.closed
    assert "an internal event is dropped, 1 so far: 3 others wait" in caplog.text
