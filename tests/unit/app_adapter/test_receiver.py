"""The receiver: the verdicts that follow from the listeners' results, and the requests that are replays."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, Response, abort, request

from app_adapter import Event, Reject, Retry
from tests.unit.app_adapter.replays import ID, NOW, Shop


def test_a_listener_that_returns_delivers() -> None:
    """The verdict is delivered, with status 200."""
    shop = Shop()
    shop.listens()

    answer = shop.replay()

    assert answer.verdict.kind == "delivered"
    assert answer.status == 200


def test_a_listener_sees_the_event_as_it_was_deferred() -> None:
    """Every attribute has its value."""
    shop = Shop()
    shop.listens()

    shop.replay(data=b'{"id": 17}', BRIDGE_ATTEMPT="3")

    (event,) = shop.received
    assert (event.id, event.name, event.source, event.time) == (ID, "order.paid", "till", NOW)
    assert (event.data, event.payload, event.content_type) == (b'{"id": 17}', {"id": 17}, "application/json")
    assert (event.attempt, event.queue) == (3, "orders")
    assert event.headers["ce-id"] == ID


def test_any_bytes_arrive_whole() -> None:
    """Bytes arrive unchanged, without the app's own MAX_CONTENT_LENGTH."""
    shop = Shop(config={"MAX_CONTENT_LENGTH": 10})
    shop.listens()
    data = bytes(range(256)) * 300

    shop.replay(data=data, content_type="application/octet-stream")

    assert shop.received[0].payload == data


def test_the_request_has_its_body() -> None:
    """Flask's own request has the same data."""
    shop = Shop()
    seen = []
    shop.events.on("order.#", name="look")(lambda event: seen.append(request.get_data()))

    shop.replay(data=b"[1]")

    assert seen == [b"[1]"]


FAILURES = [
    (ValueError("broken"), "ValueError", "broken"),
    (SystemExit(3), "SystemExit", "3"),
    (asyncio.CancelledError("cut"), "asyncio.exceptions.CancelledError", "cut"),
]


@pytest.mark.parametrize("propagating", [False, True])
@pytest.mark.parametrize(("raised", "kind", "message"), FAILURES)
def test_an_exception_of_a_listener_is_a_failure(
    raised: BaseException, kind: str, message: str, propagating: bool
) -> None:
    """The failure has the type, message and traceback, whether Flask propagates the exception or not."""
    shop = Shop(config={"TESTING": propagating})
    shop.listens(raising=raised)

    verdict = shop.replay().verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None and verdict.error.traceback is not None
    assert (verdict.error.type, verdict.error.message) == (kind, message)
    assert "in listener" in verdict.error.traceback


def test_abort_in_a_listener_is_a_failure_and_no_reject() -> None:
    """abort(404) says that something was not found. It says nothing about the event."""
    shop = Shop()
    shop.events.on("order.#", name="look")(lambda event: abort(404))

    assert shop.replay().verdict.kind == "failed"


def test_retry_waits_as_it_says(caplog: pytest.LogCaptureFixture) -> None:
    """A Retry is answered with Retry-After, and not logged as an error."""
    shop = Shop()
    shop.listens(raising=Retry(after=timedelta(minutes=1), why="busy"))

    answer = shop.replay()

    assert (answer.verdict.kind, answer.verdict.retry_after) == ("retry", 60.0)
    assert answer.verdict.error is not None and answer.verdict.error.message == "busy"
    assert (answer.errors, caplog.text) == ("", "")


def test_reject_gives_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """A Reject is answered with its reason, and not logged as an error."""
    shop = Shop()
    shop.listens(raising=Reject("no such account"))

    answer = shop.replay()

    assert answer.verdict.kind == "reject"
    assert answer.verdict.error is not None and answer.verdict.error.message == "no such account"
    assert (answer.errors, caplog.text) == ("", "")


def test_no_listener_is_a_failure() -> None:
    """The event is tried again, because a deployment may be half done."""
    verdict = Shop().replay("nobody.listens").verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None and verdict.error.message == "no listener for 'nobody.listens' in this app"


def test_finished_listeners_are_reported_and_not_called_again() -> None:
    """The verdict of a failed attempt names the finished listeners, and the next attempt does not call them."""
    shop = Shop()
    shop.listens("bill")
    shop.listens("ship", raising=ValueError())

    finished = shop.replay().verdict.finished
    shop.received.clear()
    shop.replay(finished=finished)

    assert finished == ("bill",)
    assert len(shop.received) == 1


def test_every_verdict_has_the_release() -> None:
    """The release is the app's own name for its version."""
    shop = Shop(config={"BRIDGE_RELEASE": "v7"})
    shop.listens(raising=ValueError())

    assert shop.replay().verdict.release == "v7"


def test_the_warm_up_calls_no_listener() -> None:
    """The receiver answers it. Even a listener of `#` is not called."""
    shop = Shop()
    shop.events.on("#", name="all")(shop.received.append)

    assert shop.replay("bridge.warmup").verdict.kind == "delivered"
    assert shop.received == []


def test_a_request_from_outside_does_not_find_the_replay_url() -> None:
    """A client cannot set the parameter that makes a request a replay."""
    shop = Shop()
    shop.listens()

    response = shop.app.test_client().post("/_bridge/order.paid", json={}, headers={"Bridge-Replay": "1"})

    assert response.status_code == 404
    assert shop.received == []


def test_other_requests_pass_untouched() -> None:
    """The app's own answer is unchanged, including its headers."""
    shop = Shop()
    shop.app.add_url_rule("/", view_func=lambda: Response("hello", headers={"Bridge-Outcome": "mine"}))

    response = shop.app.test_client().get("/")

    assert (response.text, response.headers["Bridge-Outcome"]) == ("hello", "mine")


def test_a_replay_without_its_parameters_is_refused_without_a_verdict() -> None:
    """The answer is 400, and the worker does not accept it as a success."""
    shop = Shop()
    shop.listens()

    answer = shop.replay(HTTP_CE_TIME="yesterday")

    assert (answer.status, "bridge-outcome" in answer.headers) == (400, False)


class AsyncFlask(Flask):
    """A Flask that runs coroutines without the optional asgiref."""

    def async_to_sync(self, func: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def awaited(*arguments: Any) -> Any:
            return await func(*arguments)

        return lambda *arguments: asyncio.run(awaited(*arguments))


def test_an_async_listener_is_run_by_the_app() -> None:
    """The coroutine is awaited to its end."""
    shop = Shop(AsyncFlask("shop"))

    @shop.events.on("order.#")
    async def listener(event: Event) -> None:
        await asyncio.sleep(0)
        shop.received.append(event)

    assert shop.replay().verdict.kind == "delivered"
    assert len(shop.received) == 1


def test_a_request_that_breaks_off_is_not_run() -> None:
    """If the body cannot be read completely, no listener is called."""
    shop = Shop()
    shop.listens()

    class Broken(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise EOFError

    changes: dict[str, Any] = {"wsgi.input": Broken()}
    with pytest.raises(EOFError):
        shop.replay(**changes)
    assert shop.received == []


def test_all_finished_listeners_are_remembered() -> None:
    """With very many listeners, a retry calls only the one that failed."""
    shop = Shop()
    for index in range(400):
        shop.listens(name=f"shop.listeners.of.a.long.name.{index}")
    shop.listens(name="broken", raising=ValueError("broken"))

    first = shop.replay().verdict
    shop.received.clear()
    shop.replay(finished=first.finished)

    assert len(first.finished) == 400
    assert len(shop.received) == 1


def test_an_event_with_too_many_listeners_calls_none_of_them() -> None:
    """A retry would call some of them again. Listeners that were added after the warm-up are counted too."""
    shop = Shop()
    for index in range(200):
        shop.listens(name=f"{'x' * 180} {index}", observer=index > 50)

    verdict = shop.replay().verdict

    assert shop.received == []
    assert verdict.kind == "failed"
    assert verdict.error is not None
    assert verdict.error.message.startswith("the event 'order.paid' has 200 listeners, whose names take ")
