"""The publishing thread: synchronous, threaded callers and an asynchronous publisher, within the callers' deadlines."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from app_adapter import publishing_thread
from app_adapter.outgoing import Outgoing
from app_adapter.publishing_thread import PublishingThread
from bridge.errors import (
    BridgeError,
    BrokerRefused,
    BrokerUnavailable,
    DeferError,
    DeferRejected,
    DeferUnavailable,
    DeferUnconfirmed,
    SettingsError,
    Unroutable,
)
from bridge.event import Event
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.queues import Queue
from tests.deadlines import within
from tests.unit.app_adapter.doubles import FakeBroker, for_ever, raising

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
QUEUES = (Queue("default"),)
BUDGET = 0.5
AMPLE = 30.0
PATIENCE = BUDGET + 10.0


def event(name: str = "order.paid") -> Event:
    """Return an event."""
    return Event("the-id", name, "shop", NOW, "application/json", b"{}")


@contextmanager
def publishing(broker: FakeBroker) -> Iterator[PublishingThread]:
    """Run a thread that publishes to the broker."""
    thread = PublishingThread(lambda: LazyPublisher(lambda: broker, QUEUES))
    try:
        yield thread
    finally:
        thread.close()


def failure(broker: FakeBroker, budget: float = AMPLE) -> tuple[Exception, float]:
    """Return the exception of publishing one event, and the seconds until it was raised."""
    with publishing(broker) as thread:
        began = time.monotonic()
        with pytest.raises(Exception) as caught:
            thread.publish(event(), None, within(budget))
        return caught.value, time.monotonic() - began


def test_an_event_is_published_in_the_thread() -> None:
    """The publisher receives the event with its due time and its deadline."""
    broker = FakeBroker()
    due, given = NOW + timedelta(hours=1), within(2.0)

    with publishing(broker) as thread:
        thread.publish(event(), due, given)

    ((published, when, deadline),) = broker.published
    assert (published, when) == (event(), due)
    assert deadline == given
    assert broker.threads == {"bridge-publisher"}


def test_queues_are_declared_once() -> None:
    """They are declared before the first event. One publisher serves all events."""
    broker = FakeBroker()

    with publishing(broker) as thread:
        for _ in range(3):
            thread.publish(event(), None, within(AMPLE))

    assert broker.declared == [QUEUES]
    assert broker.publishers == 1


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), DeferUnconfirmed("the-id", "?"), DeferRejected("full")])
def test_queues_are_declared_again_after_a_failure(error: BridgeError) -> None:
    """After any failure the queues may be gone too."""
    broker = FakeBroker(publishing=raising(error))

    with publishing(broker) as thread:
        with pytest.raises(type(error)):
            thread.publish(event(), None, within(AMPLE))
        thread.publish(event(), None, within(AMPLE))

    assert len(broker.declared) == 2


def test_a_broker_that_is_away_raises_a_defer_error() -> None:
    """Callers of `defer()` catch `DeferError`. Outside `defer()` the same outage is no `DeferError`."""
    error, _ = failure(FakeBroker(publishing=raising(BrokerUnavailable("away"))))

    assert isinstance(error, DeferError)
    assert isinstance(error, BrokerUnavailable)
    assert not isinstance(error.__cause__, DeferError)
    assert str(error) == "away"


def test_an_unroutable_event_is_no_failure_of_the_broker() -> None:
    """`Unroutable` is raised unchanged, and the queues are not declared again."""
    broker = FakeBroker(publishing=raising(Unroutable("no queue")))

    with publishing(broker) as thread:
        with pytest.raises(Unroutable, match="no queue"):
            thread.publish(event(), None, within(AMPLE))
        thread.publish(event(), None, within(AMPLE))

    assert len(broker.declared) == 1


def test_a_broker_that_comes_back_within_the_budget_is_waited_for() -> None:
    """Declaring is tried again while a caller waits."""
    broker = FakeBroker(declaring=raising(BrokerUnavailable("away"), BrokerUnavailable("away")))

    with publishing(broker) as thread:
        thread.publish(event(), None, within(AMPLE))

    assert len(broker.published) == 1


def test_a_broker_that_is_away_raises_in_time() -> None:
    """The error is raised at the deadline, with the reason. The event is not published later."""
    broker = FakeBroker(declaring=raising(*[BrokerUnavailable("connection refused")] * 100))

    error, seconds = failure(broker, BUDGET)

    assert isinstance(error, DeferUnavailable)
    assert "could not be reached in time; nothing was published: connection refused" in str(error)
    assert BUDGET <= seconds < PATIENCE
    assert broker.published == []


def test_a_broker_that_hangs_raises_in_time() -> None:
    """A declaration that never ends costs the budget and no more."""
    error, seconds = failure(FakeBroker(declaring=for_ever), BUDGET)

    assert isinstance(error, DeferUnavailable)
    assert "could not be reached in time; nothing was published" in str(error)
    assert BUDGET <= seconds < PATIENCE


def test_a_first_failure_names_its_reason() -> None:
    """The broker knows why an attempt failed while it still tries again."""
    broker = FakeBroker(declaring=for_ever)
    broker.trouble = "there is no such host"

    error, _ = failure(broker, BUDGET)

    assert str(error).endswith("nothing was published: there is no such host")


def test_a_broker_is_tried_again_after_a_quiet_time() -> None:
    """A later caller does not receive an old failure."""
    broker = FakeBroker(declaring=raising(*[BrokerUnavailable("away")] * 3))

    with publishing(broker) as thread:
        with pytest.raises(DeferUnavailable):
            thread.publish(event(), None, within(0.12))
        time.sleep(0.2)
        thread.publish(event(), None, within(AMPLE))

    assert len(broker.published) == 1


def test_a_refusal_is_raised_at_once() -> None:
    """Waiting would not help."""
    error, seconds = failure(FakeBroker(declaring=raising(BrokerRefused("bad password"))))

    assert isinstance(error, DeferUnavailable)
    assert "bad password" in str(error)
    assert seconds < 10


def test_an_internal_error_in_declaring_is_raised_at_once() -> None:
    """Nothing was published, and the error names the cause."""
    error, seconds = failure(FakeBroker(declaring=raising(ZeroDivisionError("oops"))))

    assert isinstance(error, DeferUnavailable)
    assert "ZeroDivisionError: oops" in str(error)
    assert seconds < 10


def test_an_internal_error_in_publishing_is_unconfirmed() -> None:
    """The event may be published or not."""
    error, _ = failure(FakeBroker(publishing=raising(ZeroDivisionError("oops"))))

    assert isinstance(error, DeferUnconfirmed)
    assert error.event_id == "the-id"


def test_a_bad_broker_url_is_raised_as_a_settings_error() -> None:
    """A wrong setting is not reported as an outage."""

    def opener() -> FakeBroker:
        raise SettingsError("broker_url: expected …")

    thread = PublishingThread(lambda: LazyPublisher(opener, QUEUES))

    with pytest.raises(SettingsError, match="broker_url"):
        thread.publish(event(), None, within(AMPLE))
    thread.close()


def test_an_event_without_a_confirm_is_unconfirmed() -> None:
    """The publisher had the event, so the event may still run."""
    error, seconds = failure(FakeBroker(publishing=for_ever), BUDGET)

    assert isinstance(error, DeferUnconfirmed)
    assert error.event_id == "the-id"
    assert BUDGET <= seconds < PATIENCE


class Frozen:
    """A verb that blocks the whole thread until it is released."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.release = threading.Event()

    async def __call__(self) -> None:
        self.reached.set()
        self.release.wait(10)


def test_a_thread_that_is_stuck_holds_no_caller() -> None:
    """Its current event is unconfirmed. Waiting events are withdrawn, and not published when the thread goes on."""
    frozen = Frozen()
    broker = FakeBroker(publishing=frozen)
    raised: list[Exception] = []

    def first() -> None:
        try:
            thread.publish(event("order.first"), None, within(BUDGET))
        except DeferError as error:
            raised.append(error)

    with publishing(broker) as thread:
        caller = threading.Thread(target=first)
        caller.start()
        assert frozen.reached.wait(120)
        began = time.monotonic()
        with pytest.raises(DeferUnavailable):
            thread.publish(event("order.second"), None, within(BUDGET))
        seconds = time.monotonic() - began
        caller.join()
        frozen.release.set()
        thread.publish(event("order.third"), None, within(AMPLE))

    assert seconds < PATIENCE
    assert [type(error) for error in raised] == [DeferUnconfirmed]
    assert [published[0].name for published in broker.published] == ["order.first", "order.third"]


def test_events_of_many_threads_are_published_together() -> None:
    """Waiting events are published concurrently, and every caller gets an answer."""

    async def a_while() -> None:
        await asyncio.sleep(0.02)

    broker = FakeBroker(publishing=a_while)
    with publishing(broker) as thread:
        callers = [threading.Thread(target=thread.publish, args=(event(), None, within(AMPLE))) for _ in range(32)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    assert len(broker.published) == 32
    assert broker.most_at_a_time > 1


def test_closing_waits_half_a_second_at_most() -> None:
    """The close does not wait longer for a broker that does not close."""
    thread = PublishingThread(lambda: LazyPublisher(lambda: FakeBroker(closing=for_ever), QUEUES))
    thread.publish(event(), None, within(AMPLE))

    began = time.monotonic()
    thread.close()

    assert time.monotonic() - began < 10


def test_closing_twice_changes_nothing() -> None:
    """An unused thread can be closed too."""
    thread = PublishingThread(lambda: LazyPublisher(FakeBroker, QUEUES))

    thread.close()
    thread.close()

    assert not thread.alive


def test_a_broker_that_fails_to_close_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The process ends anyway."""
    with publishing(FakeBroker(closing=raising(OSError("gone")))) as thread:
        thread.publish(event(), None, within(AMPLE))

    assert "failed; the process ends anyway" in caplog.text
    assert not thread.alive


def test_many_events_wait_for_their_confirms_at_the_same_time() -> None:
    """The answers are in the order of the events: places and errors."""

    gate = asyncio.Event()

    async def all_are_written() -> None:
        if broker.at_a_time == 5:
            gate.set()
            raise Unroutable("no queue")
        await gate.wait()

    broker = FakeBroker(publishing=all_are_written)
    with publishing(broker) as thread:
        answers = thread.publish_many([Outgoing(event(f"order.{number}")) for number in range(5)], within(AMPLE))

    assert [str(answer) for answer in answers] == [*["broker"] * 4, "no queue"]


def test_many_events_without_a_confirm_take_no_longer_than_one() -> None:
    """At the deadline each that was begun is unconfirmed. A busy machine may not have begun all."""
    with publishing(FakeBroker(publishing=for_ever)) as thread:
        began = time.monotonic()
        answers = thread.publish_many([Outgoing(event())] * 300, within(BUDGET))

    assert DeferUnconfirmed in {type(answer) for answer in answers} <= {DeferUnconfirmed, DeferUnavailable}
    assert time.monotonic() - began < PATIENCE


def test_many_events_for_a_broker_that_is_away_are_withdrawn() -> None:
    """None was published, and none will be."""
    broker = FakeBroker(declaring=for_ever)
    with publishing(broker) as thread:
        answers = thread.publish_many([Outgoing(event())] * 300, within(BUDGET))

    assert {type(answer) for answer in answers} == {DeferUnavailable}
    assert broker.published == []


def test_more_events_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is published, unless its publishing has begun. Each has an answer that is true."""
    monkeypatch.setattr(publishing_thread, "MAX_WAITING", 3)
    broker = FakeBroker()

    with publishing(broker) as thread:
        answers = thread.publish_many([Outgoing(event())] * 500, within(AMPLE))

    assert {type(answer) for answer in answers} >= {DeferUnavailable}
    assert answers.count("broker") == len(broker.published)
