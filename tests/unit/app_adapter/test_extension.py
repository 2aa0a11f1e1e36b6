"""The extension: one app or several, inside or outside a Flask context."""

import gc
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app_adapter import DeferError, DeferredEvents, Unroutable, defer
from bridge.errors import SettingsError
from tests.unit.app_adapter.replays import Shop


def test_defer_in_a_request_uses_its_app() -> None:
    """`defer()` uses the app of the current request, its name as the source, and the request's trace."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    shop = Shop()
    shop.app.add_url_rule("/", view_func=lambda: defer("order.paid", {"id": 17}))

    with shop.events.testing() as deferred:
        event_id = shop.app.test_client().get("/", headers={"traceparent": trace}).text

    (one,) = deferred
    assert (one.id, one.event.source, one.event.traceparent) == (event_id, "shop", trace)


def test_defer_outside_a_context_says_what_to_do() -> None:
    """The error names the solution."""
    with pytest.raises(DeferError, match=r"use events\.defer\(\)"):
        defer("order.paid")


def test_defer_in_an_app_without_the_extension_says_so() -> None:
    """The error names the app."""
    with Flask("bare").app_context(), pytest.raises(DeferError, match="'bare' has no DeferredEvents"):
        defer("order.paid")


def test_events_defer_finds_the_single_app() -> None:
    """Outside a context, it is the only app of the extension."""
    shop = Shop()

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")

    assert deferred[0].app is shop.app


def test_events_defer_without_an_app_is_refused() -> None:
    """Without an app there are no settings of a broker."""
    with pytest.raises(DeferError, match="no app uses"):
        DeferredEvents().defer("order.paid")


def test_events_defer_with_several_apps_needs_a_context() -> None:
    """The extension does not guess an app; a context decides."""
    events = DeferredEvents()
    first, second = Flask("first"), Flask("second")
    events.init_app(first)
    events.init_app(second)

    with pytest.raises(DeferError, match="2 apps use"):
        events.defer("order.paid")
    with events.testing() as deferred, second.app_context():
        events.defer("order.paid")

    assert deferred[0].app is second


def test_an_app_that_is_gone_does_not_count() -> None:
    """Tests make many apps with one extension. It forgets the apps that have ended."""
    events = DeferredEvents()
    events.init_app(Flask("old"))
    gc.collect()
    app = Flask("new")
    events.init_app(app)

    with events.testing() as deferred:
        events.defer("order.paid")

    assert deferred[0].app is app


def test_events_defer_in_a_foreign_context_is_refused() -> None:
    """The context's app must use this extension."""
    events, other = Shop().events, Shop()

    with other.app.app_context(), pytest.raises(DeferError, match="does not use this DeferredEvents"):
        events.defer("order.paid")


def test_a_second_extension_of_one_app_is_refused() -> None:
    """An app has one receiver."""
    app = Flask("shop")
    DeferredEvents(app)

    with pytest.raises(ValueError, match="has DeferredEvents already"):
        DeferredEvents(app)


def test_settings_come_from_the_apps_config() -> None:
    """`BRIDGE_*` in the config are the bridge's settings."""
    shop = Shop(config={"BRIDGE_REPLAY_PATH": "/hidden/replays", "BRIDGE_SOURCE": "till"})
    shop.listens()

    assert shop.replay().verdict.kind == "delivered"
    assert shop.state.target.replay_path == "/hidden/replays"
    assert shop.state.settings.values.source == "till"


def test_a_bad_setting_is_refused_at_the_start() -> None:
    """The error names the key, the value and the value's origin."""
    with pytest.raises(SettingsError, match=r"max_body = 'much' \(from Flask's config\)"):
        Shop(config={"BRIDGE_MAX_BODY": "much"})


@pytest.mark.parametrize("options", [{"host_matching": True}, {"subdomain_matching": True}])
@pytest.mark.parametrize("server_name", [None, "shop.example"])
def test_apps_with_host_matching_route_replays(options: dict[str, Any], server_name: str | None) -> None:
    """The replay URL is found with every kind of host matching."""
    app = Flask("shop", static_folder=None, **options)
    app.url_map.default_subdomain = "www"
    shop = Shop(app, {"SERVER_NAME": server_name})
    shop.listens()

    assert shop.replay().verdict.kind == "delivered"


def test_a_catch_all_route_does_not_hide_the_replay_url() -> None:
    """Flask prefers the replay URL, because it is more exact."""
    shop = Shop()
    shop.app.add_url_rule("/<path:anything>", "any", lambda anything: "page", methods=["GET", "POST"])
    shop.listens()

    assert shop.replay().verdict.kind == "delivered"


def test_an_unroutable_event_is_refused_in_tests_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recording routes events as the broker does."""
    monkeypatch.chdir(tmp_path)
    Path("bridge.toml").write_text("[queues.mail]\npatterns = ['mail.#']")
    shop = Shop()

    with shop.events.testing() as deferred:
        shop.events.defer("mail.sent")
        with pytest.raises(Unroutable, match=r"no queue takes 'order\.paid'"):
            shop.events.defer("order.paid")

    assert [one.queues for one in deferred] == [("mail",)]
