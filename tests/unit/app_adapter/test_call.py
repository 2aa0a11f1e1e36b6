"""`call()` in an app: which listener answers, what an answer may be, and each error. No broker."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from app_adapter import (
    CallError,
    CallFailed,
    CallRejected,
    Event,
    InvalidName,
    InvalidPayload,
    NobodyServes,
    Reject,
    Retry,
    TooLarge,
    call,
)
from app_adapter.extension import DeferredEvents
from tests.unit.app_adapter.replays import Shop


class Calls:
    """A shop whose calls are answered in this process."""

    def __init__(self, **config: Any) -> None:
        self.shop = Shop(config=config)
        self.events = self.shop.events
        self.called: list[str] = []

    def listens(self, name: str, does: Callable[[], Any], **options: Any) -> None:
        """Add a listener of `order.#` that does this."""

        def listener(event: Event) -> Any:
            self.called.append(name)
            return does()

        self.events.on("order.#", name=name, **options)(listener)

    def call(self, payload: Any = None, name: str = "order.priced", **options: Any) -> Any:
        """Call, and return the answer."""
        with self.events.testing():
            return self.events.call(name, payload, **options)


def raising(error: BaseException) -> Callable[[], Any]:
    """Return a function that raises."""

    def does() -> Any:
        raise error

    return does


async def later() -> list[int]:
    """Return a list, asynchronously."""
    await asyncio.sleep(0)
    return [1, 2]


@pytest.mark.parametrize("answer", [{"a": [1, None]}, "ä\n", b"\x00\n\xff", b"", 0, False, [], None])
def test_what_a_listener_returns_is_the_answer(answer: Any) -> None:
    """JSON by the app's provider, or bytes unchanged; also what is false in Python."""
    calls = Calls()
    calls.listens("one", lambda: answer)
    assert calls.call() == answer


def test_a_listener_gets_the_payload() -> None:
    """As with an event."""
    shop = Shop()
    shop.events.on("str.reverse")(lambda event: (event.payload["str"][::-1], event.attempt, event.queue))
    with shop.events.testing(), shop.app.app_context():
        assert call("str.reverse", {"str": "abc"}, timeout=timedelta(seconds=1)) == ["cba", 1, "default"]


def test_the_first_that_returns_something_answers() -> None:
    """In their order. Those after it are not called, but for observers, whose results do not count."""
    calls = Calls()
    calls.listens("none", lambda: None, priority=3)
    calls.listens("first", lambda: 1, priority=2)
    calls.listens("second", lambda: 2)
    calls.listens("before", lambda: 3, priority=9, observer=True)
    calls.listens("after", raising(ValueError()), priority=-9, observer=True)

    assert calls.call() == 1
    assert calls.called == ["before", "none", "first", "after"]


def test_a_future_answers_with_its_result() -> None:
    """The result of the work, not the work."""
    with ThreadPoolExecutor(1) as pool:
        calls = Calls()
        calls.listens("one", lambda: pool.submit(lambda: 17))
        assert calls.call() == 17


def test_an_awaitable_answers_with_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind a plain function."""

    def run(_: Flask, function: Any) -> Any:
        """Do what Flask does with asgiref, which may not be installed."""
        return (lambda *args: asyncio.run(function(*args))) if asyncio.iscoroutinefunction(function) else function

    monkeypatch.setattr(Flask, "ensure_sync", run)
    calls = Calls()
    calls.listens("one", later)
    assert calls.call() == [1, 2]


@pytest.mark.parametrize(
    ("does", "kind", "message"),
    [
        (raising(ValueError("no")), "ValueError", "no"),
        (raising(Retry(after=5, why="busy")), "app_adapter.listener_api.Retry", "busy"),
        (raising(SystemExit(3)), "SystemExit", "3"),
        (object, "InvalidPayload", "the listener's result is no answer: payload cannot"),
        (lambda: {"x": {1, 2}}, "InvalidPayload", "payload['x'] cannot be written as JSON"),
        (lambda: iter([1]), "app_adapter.call_to_end.UnfinishedWork", "nobody iterates over it"),
        (lambda: b"x" * 1025, "TooLarge", "the answer is 1025 bytes: expected at most 1024 (max_body)"),
    ],
)
def test_a_call_that_fails(does: Callable[[], Any], kind: str, message: str) -> None:
    """`CallFailed` has the type and the message of the app's exception. No later listener is called."""
    calls = Calls(BRIDGE_MAX_BODY=1024)
    calls.listens("one", does)
    calls.listens("two", lambda: 2)
    with pytest.raises(CallFailed) as failed:
        calls.call()
    assert failed.value.type == kind
    assert message in failed.value.message
    assert calls.called == ["one"]


def test_the_traceback_of_a_failure() -> None:
    """It begins at the listener, and a person sees it in the error's text."""
    calls = Calls()
    calls.listens("one", lambda: 1 / 0)
    with pytest.raises(CallFailed) as failed:
        calls.call()
    trace = failed.value.traceback or ""
    assert trace.startswith("Traceback")
    assert "1 / 0" in trace
    assert "app_adapter/dispatch" not in trace
    assert trace.rstrip() in str(failed.value)


def test_a_call_that_is_rejected() -> None:
    """With the listener's reason."""
    calls = Calls()
    calls.listens("one", raising(Reject("never")))
    with pytest.raises(CallRejected, match=r"^never$"):
        calls.call()


def test_nobody_listens() -> None:
    """An observer is no listener."""
    calls = Calls()
    calls.listens("watch", lambda: 1, observer=True)
    with pytest.raises(NobodyServes, match=r"no listener for 'order\.priced'"):
        calls.call()


def test_an_app_that_fails_after_the_listener() -> None:
    """Many apps commit at teardown, so an answer does not count then."""
    calls = Calls()
    calls.listens("one", lambda: 1)

    @calls.shop.app.after_request
    def commit(_: Any) -> Any:
        raise ConnectionError("not committed")

    with pytest.raises(CallFailed, match="not committed"):
        calls.call()


def test_the_answer_is_not_the_apps_response() -> None:
    """A function of the app that changes responses does not change the answer."""
    calls = Calls()
    calls.listens("one", lambda: {"a": 1})

    @calls.shop.app.after_request
    def wrap(response: Any) -> Any:
        response.set_data(b"<html>")
        response.headers["Bridge-Answer"] = "text/html"
        return response

    assert calls.call() == {"a": 1}


@pytest.mark.parametrize(
    "timeout", [0, -1, float("nan"), float("inf"), "2", True, None, timedelta(0), timedelta(minutes=21)]
)
def test_a_wrong_timeout(timeout: Any) -> None:
    """The message names the value and what was expected."""
    with pytest.raises(CallError, match=r"^timeout=.*more than 0 and at most 20 minutes"):
        Calls().call(timeout=timeout)


def test_a_wrong_name_or_payload() -> None:
    """The errors of `defer()`."""
    calls = Calls(BRIDGE_MAX_BODY=1024)
    with pytest.raises(InvalidName):
        calls.call(name="no name")
    with pytest.raises(InvalidName, match="reserved"):
        calls.call(name="bridge.warmup")
    with pytest.raises(InvalidPayload):
        calls.call(object())
    with pytest.raises(TooLarge):
        calls.call(b"x" * 1025)


def test_a_call_outside_of_an_app() -> None:
    """The message says what to do."""
    with pytest.raises(CallError, match=r"events\.call\(\)"):
        call("order.priced")


def test_a_call_of_an_app_under_test() -> None:
    """It reaches no broker."""
    app = Flask("shop")
    app.testing = True
    with pytest.raises(CallError, match="TESTING"):
        DeferredEvents(app).call("order.priced")
