"""A cancellation goes through the broker of the publishing thread, like an event."""

import time
from datetime import UTC, datetime

import pytest

from app_adapter.publishing_thread import PublishingThread
from bridge.cancellations import Cancellation
from bridge.errors import (
    BrokerRefused,
    BrokerUnavailable,
    DeferError,
    DeferForbidden,
    DeferUnavailable,
    DeferUnconfirmed,
)
from bridge.event import Event
from bridge.logs import AppendUnconfirmed
from bridge.publishing.lazy_publisher import LazyPublisher
from tests.deadlines import within
from tests.unit.app_adapter.doubles import FakeBroker, for_ever, raising

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def cancellation(number: int = 1) -> Cancellation:
    """Return the cancellation of an event."""
    return Cancellation(f"event-{number}", False, "the app shop", "withdrawn", NOW)


def test_cancellations_share_the_broker_and_the_log_with_one_another_and_with_events() -> None:
    """The broker is opened once."""
    opened = []
    broker = FakeBroker()

    def opener() -> FakeBroker:
        opened.append(broker)
        return broker

    thread = PublishingThread(lambda: LazyPublisher(opener, ()))

    thread.publish(Event("the-id", "order.paid", "shop", NOW, "application/json", b"{}"), None, within(30))
    for number in range(3):
        thread.cancel(cancellation(number), within(30))
    thread.close()

    (log,) = broker.logs
    assert [record["event"] for record in log.records] == ["event-0", "event-1", "event-2"]
    assert (len(opened), len(broker.published)) == (1, 1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BrokerUnavailable("no route"), DeferUnavailable),
        (BrokerRefused("access refused"), DeferForbidden),
        (AppendUnconfirmed("written"), DeferUnconfirmed),
        (ValueError("a defect"), DeferUnconfirmed),
    ],
)
def test_an_error_says_whether_the_event_may_be_cancelled(error: Exception, expected: type[DeferError]) -> None:
    """It names the event and the cause."""
    thread = PublishingThread(lambda: LazyPublisher(lambda: FakeBroker(publishing=raising(error)), ()))

    with pytest.raises(expected, match=f"event-1.*{error}") as caught:
        thread.cancel(cancellation(), within(30))
    thread.close()

    assert type(caught.value) is expected


def test_a_cancellation_that_begins_and_gets_no_answer_ends_at_its_deadline() -> None:
    """The event may be cancelled."""
    thread = PublishingThread(lambda: LazyPublisher(lambda: FakeBroker(publishing=for_ever), ()))
    began = time.monotonic()

    with pytest.raises(DeferUnconfirmed, match="may be cancelled"):
        thread.cancel(cancellation(), within(0.5))

    assert time.monotonic() - began < 20
    thread.close()
