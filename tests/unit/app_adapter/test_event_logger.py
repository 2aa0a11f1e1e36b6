"""The observer that logs events, and observers that are added later."""

import logging

import pytest

from app_adapter import DeferredEvents, EventLogger
from bridge.moments import BrokerLost, Moment, Replayed, Replaying
from tests.unit.app_adapter.replays import ID, Shop


def test_each_attempt_is_logged_with_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """A delivered one at info, a failed one at warning with its error; the beginning at debug."""
    shop = Shop()
    EventLogger(shop.events)
    shop.listens(raising=ValueError("broken"))
    shop.events.on("good.one", name="good")(lambda event: None)

    with caplog.at_level(logging.DEBUG, "deferred_event_bridge.events"):
        shop.replay("good.one")
        shop.replay(BRIDGE_ATTEMPT="2")

    records = [record for record in caplog.records if record.name == "deferred_event_bridge.events"]
    assert [record.levelname for record in records] == ["DEBUG", "INFO", "DEBUG", "WARNING"]
    assert records[1].getMessage().startswith("event good.one delivered after 0.")
    assert records[1].getMessage().endswith(f"s (id {ID}, queue orders, attempt 1)")
    assert records[3].getMessage().endswith(f"s: ValueError: broken (id {ID}, queue orders, attempt 2)")
    assert (vars(records[3])["event"], vars(records[3])["attempt"]) == ("order.paid", 2)


def test_other_moments_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """A watcher of the settings receives those of the worker too."""
    with caplog.at_level(logging.DEBUG):
        EventLogger()(BrokerLost("away"))
    assert caplog.records == []


def test_an_observer_is_told_in_apps_of_before_and_after() -> None:
    """`observe` adds it to all apps of the extension."""
    shop = Shop()
    shop.listens()
    moments: list[Moment] = []
    shop.events.observe(moments.append)

    shop.replay()

    assert [type(moment) for moment in moments] == [Replaying, Replayed]
    assert shop.events.watchers == (moments.append,)


@pytest.mark.parametrize("observer", [EventLogger, None, "log"])
def test_what_cannot_be_called_is_refused(observer: object) -> None:
    """The class too: an instance was meant."""
    with pytest.raises(TypeError, match="it is a"):
        DeferredEvents().observe(observer)  # type: ignore[arg-type]  # it is refused
