"""From synchronous, threaded code to an asynchronous publisher, within a budget, whatever the broker does."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from app_adapter.publishing_thread import PublishingThread
from bridge.brokers.declared import DeclaredPublisher
from bridge.errors import (
    BrokerRefused,
    BrokerUnavailable,
    DeferError,
    DeferRejected,
    DeferUnconfirmed,
    SettingsError,
    Unroutable,
)
from bridge.event import Event
from bridge.queues import Queue
from tests.unit.app_adapter.doubles import FakeBroker, for_ever, raising

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
QUEUES = (Queue("default"),)
BUDGET = 0.3
PATIENCE = BUDGET + 0.25


def event(name: str = "order.paid") -> Event:
    """Return an event."""
    return Event("the-id", name, "shop", NOW, "application/json", b"{}")


@contextmanager
def publishing(broker: FakeBroker) -> Iterator[PublishingThread]:
    """Run a thread that publishes to the broker."""
    thread = PublishingThread(DeclaredPublisher(lambda: broker, QUEUES))
    try:
        yield thread
    finally:
        thread.close()


def failure(broker: FakeBroker, budget: float = BUDGET) -> tuple[Exception, float]:
    """Return what publishing one event raises, and after how many seconds."""
    with publishing(broker) as thread:
        began = time.monotonic()
        with pytest.raises(Exception) as caught:
            thread.publish(event(), None, budget)
        return caught.value, time.monotonic() - began


def test_an_event_is_published_in_the_thread() -> None:
    """It reaches the publisher with its due time and what is left of the budget."""
    broker = FakeBroker()
    due = NOW + timedelta(hours=1)

    with publishing(broker) as thread:
        thread.publish(event(), due, 2.0)

    ((published, when, within),) = broker.published
    assert (published, when) == (event(), due)
    assert 1.5 < within <= 2.0
    assert broker.threads == {"bridge-publisher"}


def test_queues_are_declared_once() -> None:
    """They are declared before the first event, and one publisher serves them all."""
    broker = FakeBroker()

    with publishing(broker) as thread:
        for _ in range(3):
            thread.publish(event(), None, BUDGET)

    assert broker.declared == [QUEUES]
    assert broker.publishers == 1


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), DeferUnconfirmed("the-id", "?"), DeferRejected("full")])
def test_queues_are_declared_again_after_a_failure(error: DeferError) -> None:
    """Whatever failed, the queues may be gone with it."""
    broker = FakeBroker(publishing=raising(error))

    with publishing(broker) as thread:
        with pytest.raises(type(error)):
            thread.publish(event(), None, BUDGET)
        thread.publish(event(), None, BUDGET)

    assert len(broker.declared) == 2


def test_an_unroutable_event_is_no_failure_of_the_broker() -> None:
    """Unroutable comes through as it is, and nothing is declared again."""
    broker = FakeBroker(publishing=raising(Unroutable("no queue")))

    with publishing(broker) as thread:
        with pytest.raises(Unroutable, match="no queue"):
            thread.publish(event(), None, BUDGET)
        thread.publish(event(), None, BUDGET)

    assert len(broker.declared) == 1


def test_a_broker_that_comes_back_within_the_budget_is_waited_for() -> None:
    """Declaring is tried again while somebody waits."""
    broker = FakeBroker(declaring=raising(BrokerUnavailable("away"), BrokerUnavailable("away")))

    with publishing(broker) as thread:
        thread.publish(event(), None, 2.0)

    assert len(broker.published) == 1


def test_a_broker_that_is_away_is_told_in_time() -> None:
    """Out of budget, with the reason; nothing is ever published."""
    broker = FakeBroker(declaring=raising(*[BrokerUnavailable("connection refused")] * 100))

    error, seconds = failure(broker)

    assert isinstance(error, BrokerUnavailable)
    assert "could not be reached; nothing was published: connection refused" in str(error)
    assert BUDGET <= seconds < PATIENCE
    assert broker.published == []


def test_a_broker_that_hangs_is_told_in_time() -> None:
    """A declaration without end costs the budget and no more."""
    error, seconds = failure(FakeBroker(declaring=for_ever))

    assert isinstance(error, BrokerUnavailable)
    assert "could not be reached in time; nothing was published" in str(error)
    assert BUDGET <= seconds < PATIENCE


def test_a_broker_is_tried_anew_after_a_quiet_time() -> None:
    """An old failure is not repeated to who comes later."""
    broker = FakeBroker(declaring=raising(*[BrokerUnavailable("away")] * 3))

    with publishing(broker) as thread:
        with pytest.raises(BrokerUnavailable):
            thread.publish(event(), None, 0.12)
        time.sleep(0.2)
        thread.publish(event(), None, 2.0)

    assert len(broker.published) == 1


def test_a_refusal_is_told_at_once() -> None:
    """Waiting would not help, so nobody waits."""
    error, seconds = failure(FakeBroker(declaring=raising(BrokerRefused("bad password"))), budget=5.0)

    assert isinstance(error, BrokerUnavailable)
    assert "bad password" in str(error)
    assert seconds < 1.0


def test_a_defect_in_declaring_is_told_at_once() -> None:
    """Nothing was published, and the error says what broke."""
    error, seconds = failure(FakeBroker(declaring=raising(ZeroDivisionError("oops"))), budget=5.0)

    assert isinstance(error, BrokerUnavailable)
    assert "ZeroDivisionError: oops" in str(error)
    assert seconds < 1.0


def test_a_defect_in_publishing_may_have_published() -> None:
    """There is no telling, so it is unconfirmed."""
    error, _ = failure(FakeBroker(publishing=raising(ZeroDivisionError("oops"))))

    assert isinstance(error, DeferUnconfirmed)
    assert error.event_id == "the-id"


def test_a_bad_broker_url_is_told_as_it_is() -> None:
    """A setting that cannot be used is no broker that is away."""

    def opener() -> FakeBroker:
        raise SettingsError("broker_url: expected …")

    thread = PublishingThread(DeclaredPublisher(opener, QUEUES))

    with pytest.raises(SettingsError, match="broker_url"):
        thread.publish(event(), None, 5.0)
    thread.close()


def test_what_the_publisher_does_not_confirm_is_unconfirmed() -> None:
    """A publisher that never answers had the event: it may still run."""
    error, seconds = failure(FakeBroker(publishing=for_ever))

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


def test_a_thread_that_is_stuck_holds_nobody() -> None:
    """What it had is unconfirmed; what it had not is withdrawn, and not published when it goes on."""
    frozen = Frozen()
    broker = FakeBroker(publishing=frozen)
    raised: list[Exception] = []

    def first() -> None:
        try:
            thread.publish(event("order.first"), None, BUDGET)
        except DeferError as error:
            raised.append(error)

    with publishing(broker) as thread:
        caller = threading.Thread(target=first)
        caller.start()
        assert frozen.reached.wait(5)
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            thread.publish(event("order.second"), None, BUDGET)
        seconds = time.monotonic() - began
        caller.join()
        frozen.release.set()
        thread.publish(event("order.third"), None, 5.0)

    assert seconds < PATIENCE
    assert [type(error) for error in raised] == [DeferUnconfirmed]
    assert [published[0].name for published in broker.published] == ["order.first", "order.third"]


def test_many_threads_are_published_together() -> None:
    """What waits is published concurrently, and everyone gets an answer."""

    async def a_while() -> None:
        await asyncio.sleep(0.02)

    broker = FakeBroker(publishing=a_while)
    with publishing(broker) as thread:
        callers = [threading.Thread(target=thread.publish, args=(event(), None, 5.0)) for _ in range(32)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    assert len(broker.published) == 32
    assert broker.most_at_a_time > 1


def test_closing_waits_half_a_second_at_most() -> None:
    """A broker that does not close is left behind."""
    thread = PublishingThread(DeclaredPublisher(lambda: FakeBroker(closing=for_ever), QUEUES))
    thread.publish(event(), None, BUDGET)

    began = time.monotonic()
    thread.close()

    assert time.monotonic() - began < 0.75


def test_closing_twice_is_as_good_as_once() -> None:
    """And an unused thread closes as well."""
    thread = PublishingThread(DeclaredPublisher(FakeBroker, QUEUES))

    thread.close()
    thread.close()

    assert not thread.alive


def test_a_broker_that_fails_to_close_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It is no reason for the process not to end."""
    with publishing(FakeBroker(closing=raising(OSError("gone")))) as thread:
        thread.publish(event(), None, BUDGET)

    assert "could not be closed" in caplog.text
    assert not thread.alive
