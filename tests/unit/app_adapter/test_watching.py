"""Moments of `defer()` for an app's own watchers and signal receivers."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request

from app_adapter import (
    BrokerUnavailable,
    DeferError,
    DeferredEvents,
    defer,
    event_deferred,
    fork_safe_publishing,
    moment_occurred,
)
from bridge.errors import SettingsError
from bridge.moments import Deferred, Moment, Spooled
from tests.unit.app_adapter.doubles import FakeBroker, for_ever, raising
from tests.unit.app_adapter.replays import Shop
from tests.unit.bridge.publishing.doubles import until


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBroker]:
    """Return the broker that this process publishes to."""
    broker, process = FakeBroker(), fork_safe_publishing.PublishingThreads()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fork_safe_publishing, "open_broker", lambda url, namespace, **options: broker)
    monkeypatch.setattr(fork_safe_publishing, "_threads_of_this_process", process)
    yield broker
    process.close()


def app_with(*watchers: Any, **config: Any) -> tuple[Flask, DeferredEvents]:
    """Return an app whose extension has these watchers."""
    app = Flask("shop")
    app.config.update({"BRIDGE_PUBLISH_TIMEOUT": "20s"} | config)
    return app, DeferredEvents(app, watchers=watchers)


def test_a_confirmed_event_is_a_deferred_moment(broker: FakeBroker) -> None:
    """The moment has the due time, and the seconds that the publish took."""
    moments: list[Moment] = []
    _, events = app_with(moments.append)

    event_id = events.defer("order.paid", {"id": 17}, delay=60)

    (moment,) = moments
    ((event, due, _),) = broker.published
    assert isinstance(moment, Deferred)
    assert (moment.event, moment.due, moment.event.id) == (event, due, event_id)
    assert 0 < moment.seconds < 20


def test_watchers_are_called_in_the_thread_and_request_of_the_defer(broker: FakeBroker) -> None:
    """A watcher and a receiver may use the request. The broker has confirmed the event by then."""
    seen: list[tuple[object, ...]] = []

    def look(*_: object, **__: object) -> None:
        seen.append((threading.get_ident(), request.path, len(broker.published)))

    app, _ = app_with(look)
    app.add_url_rule("/buy", view_func=lambda: defer("order.paid"))
    with moment_occurred.connected_to(look, app):
        app.test_client().get("/buy")

    assert seen == [(threading.get_ident(), "/buy", 1)] * 2


@pytest.mark.parametrize("failure", [BrokerUnavailable("away"), for_ever])
def test_an_event_without_a_confirm_is_no_moment(broker: FakeBroker, failure: Any) -> None:
    """This holds for every error of `defer()`."""
    broker.publishing = raising(failure) if isinstance(failure, Exception) else failure
    moments: list[Moment] = []
    _, events = app_with(moments.append, **({"BRIDGE_PUBLISH_TIMEOUT": "100ms"} if failure is for_ever else {}))

    with pytest.raises(DeferError):
        events.defer("order.paid")

    assert moments == []


def test_a_spooled_event_is_a_spooled_moment(broker: FakeBroker) -> None:
    """The caller of `defer()` cannot see it; a watcher can."""
    broker.publishing = raising(BrokerUnavailable("away"))
    moments: list[Moment] = []
    _, events = app_with(moments.append, BRIDGE_PUBLISH="spool", BRIDGE_BROKER_URL="amqp://localhost/")

    event_id = events.defer("order.paid")

    (moment,) = [each for each in moments if isinstance(each, Spooled)]  # the relay may have published it by now
    assert moment.event.id == event_id
    assert 0 < moment.seconds < 20


async def test_the_relay_of_a_web_process_tells_the_apps_watchers_and_receivers(broker: FakeBroker) -> None:
    """The relay publishes the spooled event when the broker answers again, and then calls them."""
    broker.publishing = raising(BrokerUnavailable("away"))
    watched: list[Moment] = []
    received: list[Moment] = []
    app, events = app_with(watched.append, BRIDGE_PUBLISH="spool", BRIDGE_BROKER_URL="amqp://localhost/")

    def receive(_: Flask, moment: Moment) -> None:
        received.append(moment)

    with moment_occurred.connected_to(receive, app):
        events.defer("order.paid")
        await until(lambda: len(received) == 2)

    assert watched == received
    assert sorted(type(moment).__name__ for moment in watched) == ["Relayed", "Spooled"]


def test_a_signal_receiver_is_called_with_its_app(broker: FakeBroker) -> None:
    """The sender is the app, as in Flask's own signals. Another app's moments are not sent to it."""
    moments: list[tuple[Flask, Moment]] = []

    def receive(app: Flask, moment: Moment, **_: object) -> None:
        moments.append((app, moment))

    app, events = app_with()
    _, others = app_with()
    with moment_occurred.connected_to(receive, app):
        events.defer("order.paid")
        others.defer("order.paid")
        with moment_occurred.muted():
            events.defer("order.paid")

    ((sender, moment),) = moments
    assert sender is app
    assert isinstance(moment, Deferred)


@pytest.mark.parametrize("away", [False, True])
def test_event_deferred_tells_whether_the_event_is_in_the_spool(broker: FakeBroker, away: bool) -> None:
    """It has the event and its due time."""
    if away:
        broker.publishing = raising(BrokerUnavailable("away"))
    received: list[dict[str, Any]] = []
    app, events = app_with(BRIDGE_PUBLISH="spool", BRIDGE_BROKER_URL="amqp://localhost/")

    def receive(_: Flask, **arguments: Any) -> None:
        received.append(arguments)

    with event_deferred.connected_to(receive, app):
        event_id = events.defer("order.paid")

    (arguments,) = received
    assert (arguments["event"].id, arguments["due"], arguments["spooled"]) == (event_id, None, away)


def test_watchers_and_receivers_that_raise_change_nothing(broker: FakeBroker, caplog: pytest.LogCaptureFixture) -> None:
    """The request is answered, the event is published, and all other watchers are called."""
    moments: list[object] = []

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    def receive(_: Flask, moment: Moment) -> None:
        moments.append(moment)

    def receive_too(_: Flask, moment: Moment) -> None:
        moments.append(moment)

    app, _ = app_with(broken, moments.append)
    app.add_url_rule("/buy", view_func=lambda: defer("order.paid"))
    with (
        moment_occurred.connected_to(receive, app),
        moment_occurred.connected_to(broken, app),
        moment_occurred.connected_to(receive_too, app),
    ):
        answer = app.test_client().get("/buy")

    assert answer.status_code == 200
    assert len(broker.published) == 1
    assert len(moments) == 3
    assert "broken failed" in caplog.text


def test_a_recorded_event_is_no_moment() -> None:
    """`events.testing()` publishes nothing."""
    moments: list[Moment] = []
    _, events = app_with(moments.append)

    with events.testing():
        events.defer("order.paid")

    assert moments == []


def test_a_watcher_of_the_settings_that_cannot_be_imported_stops_init_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the key, the value and the origin."""
    monkeypatch.setenv("BRIDGE_WATCHERS", "nowhere_at_all:watch")
    with pytest.raises(SettingsError, match=r"watchers = 'nowhere_at_all:watch' \(from environment variable BRIDGE_W"):
        Shop()


def test_an_object_that_cannot_be_called_is_no_watcher() -> None:
    """The extension's constructor refuses it."""
    with pytest.raises(TypeError, match="expected a callable"):
        DeferredEvents(watchers=["shop.metrics:watcher"])  # type: ignore[list-item]  # the mistake under test
