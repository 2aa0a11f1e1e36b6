"""The named signals of a replay: what they are sent with, where, and that they change nothing."""

import json
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask, Response, current_app, has_request_context, request

from app_adapter import event_begun, event_dead, event_deferred, event_ended, event_failed, moment_occurred
from bridge.moments import Deferred, Replayed, Replaying
from tests.unit.app_adapter.replays import ID, Shop

LETTER = {"id": "7", "name": "order.paid", "queue": "orders", "reason": "rejected"}


class Heard:
    """Receives signals of one app while the `with` block runs, as pairs of the signal's name and its arguments."""

    def __init__(self, app: Flask) -> None:
        self.signals: list[tuple[str, dict[str, Any]]] = []
        self._app = app
        self._stack = ExitStack()

    def __enter__(self) -> "Heard":
        for signal in (event_begun, event_ended, event_failed, event_dead):

            def receive(sender: Flask, *, _name: str = signal.name, **arguments: Any) -> None:
                assert sender is self._app
                assert current_app == self._app
                self.signals.append((_name, arguments | {"in_request": has_request_context()}))

            self._stack.enter_context(signal.connected_to(receive, self._app))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def names(self) -> list[str]:
        """The names of the signals, in their order."""
        return [name for name, _ in self.signals]


def test_an_event_has_a_signal_before_its_listeners_and_one_after() -> None:
    """The first is sent within the request, the second after its end, with the verdict."""
    shop = Shop()
    shop.listens()

    with Heard(shop.app) as heard:
        shop.replay(BRIDGE_ATTEMPT="2")

    (_, begun), (_, ended) = heard.signals
    assert heard.names == ["event-begun", "event-ended"]
    assert (begun["event"].id, begun["attempt"], begun["queue"], begun["in_request"]) == (ID, 2, "orders", True)
    assert (ended["event"].id, ended["attempt"], ended["queue"], ended["in_request"]) == (ID, 2, "orders", False)
    assert ended["verdict"].kind == "delivered"
    assert 0 <= ended["seconds"] < 20


def test_a_failed_event_has_a_signal_with_its_error() -> None:
    """It follows `event_ended`, and has the error of the verdict."""
    shop = Shop()
    shop.listens(raising=ValueError("broken"))

    with Heard(shop.app) as heard:
        shop.replay()

    assert heard.names == ["event-begun", "event-ended", "event-failed"]
    _, failed = heard.signals[-1]
    assert (failed["error"].type, failed["error"].message) == ("ValueError", "broken")
    assert "raise raising" in failed["error"].traceback


def test_the_end_of_an_event_comes_after_its_teardown() -> None:
    """An error of an `after_request` function, where many apps commit, is in the verdict."""
    shop = Shop()
    shop.listens()

    def commit(_: Response) -> Response:
        raise RuntimeError("cannot commit")

    shop.app.after_request(commit)

    with Heard(shop.app) as heard:
        shop.replay()

    assert heard.names == ["event-begun", "event-ended", "event-failed"]
    assert heard.signals[-1][1]["error"].message == "cannot commit"


def test_receivers_that_raise_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Exceptions are logged, `SystemExit` too, and the verdict is that of the listeners."""
    shop = Shop()
    shop.listens()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    def ending(*_: object, **__: object) -> None:
        raise SystemExit

    with event_begun.connected_to(broken, shop.app), event_ended.connected_to(ending, shop.app):
        answer = shop.replay()

    assert answer.verdict.kind == "delivered"
    assert len(shop.received) == 1
    assert "broken failed" in caplog.text
    assert "SystemExit" in answer.errors


def test_watchers_and_moment_occurred_have_the_same_moments() -> None:
    """A watcher that was given to the extension receives the moments of the replays."""
    shop = Shop()
    shop.listens()
    moments: list[object] = []

    def receive(_: Flask, moment: object) -> None:
        moments.append(moment)

    with moment_occurred.connected_to(receive, shop.app):
        shop.replay()

    assert [type(moment) for moment in moments] == [Replaying, Replayed]


def test_what_the_receiver_does_not_run_has_no_signal() -> None:
    """The warm-up, a request of a user, and a replay that the app answers itself."""
    shop = Shop()
    shop.listens()
    shop.app.before_request(lambda: "no" if request.headers.get("Ce-Type") == "order.walled" else None)

    with Heard(shop.app) as heard:
        shop.replay("bridge.warmup")
        shop.replay("order.walled")
        shop.app.test_client().get("/")

    assert heard.signals == []


def test_the_internal_event_of_a_dead_letter_is_a_signal() -> None:
    """It has the letter. The event needs no listener then; without a receiver it does."""
    shop = Shop()
    data = json.dumps(LETTER).encode()

    with Heard(shop.app) as heard:
        heard_verdict = shop.replay("bridge.dead_letter.rejected", data).verdict
    verdict = shop.replay("bridge.dead_letter.rejected", data).verdict

    assert heard_verdict.kind == "delivered"
    assert heard.names == ["event-begun", "event-dead", "event-ended"]
    assert heard.signals[1][1]["letter"] == LETTER
    assert (verdict.kind, verdict.error and verdict.error.type) == ("failed", "no listener")


def test_a_deferred_event_is_a_signal_too() -> None:
    """A recorded event is not deferred, so it has none."""
    shop = Shop()
    deferred: list[object] = []

    def receive(_: Flask, **arguments: object) -> None:
        deferred.append(arguments)

    with event_deferred.connected_to(receive, shop.app), shop.events.testing():
        shop.events.defer("order.paid")

    assert deferred == []


def test_somebody_listens_to_a_moment_by_any_of_its_signals() -> None:
    """Without a watcher or a receiver, the moment need not be made."""
    tell = Shop().state.tell

    def receive(sender: Flask, **arguments: Any) -> None: ...

    nobody = [tell.hears(kind) for kind in (Deferred, Replayed)]
    with event_deferred.connected_to(receive):
        of_the_event = [tell.hears(kind) for kind in (Deferred, Replayed)]
    with moment_occurred.connected_to(receive):
        of_each_moment = [tell.hears(kind) for kind in (Deferred, Replayed)]
    tell.add(print)
    watched = [tell.hears(kind) for kind in (Deferred, Replayed)]

    assert (nobody, of_the_event) == ([False, False], [True, False])
    assert (of_each_moment, watched) == ([True, True], [True, True])
