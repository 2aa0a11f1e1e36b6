"""The receiver around a whole Flask app: only it speaks for the app, and every handler still sees everything."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, Response, abort, g, redirect, request

from app_adapter import Event, Reject, Retry
from tests.unit.app_adapter.replays import ID, NOW, Answer, Change, Shop


def test_a_listener_that_returns_delivers() -> None:
    """The verdict is delivered, with status 200."""
    shop = Shop()
    shop.listens()

    answer = shop.replay()

    assert answer.verdict.kind == "delivered"
    assert answer.status == 200


def test_a_listener_sees_the_event_as_it_was_deferred() -> None:
    """Every attribute comes through."""
    shop = Shop()
    shop.listens()

    shop.replay(data=b'{"id": 17}', BRIDGE_ATTEMPT="3")

    (event,) = shop.received
    assert (event.id, event.name, event.source, event.time) == (ID, "order.paid", "till", NOW)
    assert (event.data, event.payload, event.content_type) == (b'{"id": 17}', {"id": 17}, "application/json")
    assert (event.attempt, event.queue) == (3, "orders")
    assert event.headers["ce-id"] == ID


def test_any_bytes_arrive_whole() -> None:
    """Bytes pass through unchanged, past the app's own MAX_CONTENT_LENGTH."""
    shop = Shop(config={"MAX_CONTENT_LENGTH": 10})
    shop.listens()
    data = bytes(range(256)) * 300

    shop.replay(data=data, content_type="application/octet-stream")

    assert shop.received[0].payload == data


def test_the_request_has_its_body() -> None:
    """Flask's own request shows the same data."""
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
def test_what_a_listener_raises_fails(raised: BaseException, kind: str, message: str, propagating: bool) -> None:
    """Any exception is a failure with its type, message and traceback, whether Flask propagates it or not."""
    shop = Shop(config={"TESTING": propagating})
    shop.listens(raising=raised)

    verdict = shop.replay().verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None and verdict.error.traceback is not None
    assert (verdict.error.type, verdict.error.message) == (kind, message)
    assert "in listener" in verdict.error.traceback


def test_abort_in_a_listener_is_a_failure_and_no_reject() -> None:
    """abort(404) says that something was not found, and nothing about the event."""
    shop = Shop()
    shop.events.on("order.#", name="look")(lambda event: abort(404))

    assert shop.replay().verdict.kind == "failed"


def test_retry_waits_as_it_says(caplog: pytest.LogCaptureFixture) -> None:
    """Retry is answered with Retry-After, quietly."""
    shop = Shop()
    shop.listens(raising=Retry(after=timedelta(minutes=1), why="busy"))

    answer = shop.replay()

    assert (answer.verdict.kind, answer.verdict.retry_after) == ("retry", 60.0)
    assert answer.verdict.error is not None and answer.verdict.error.message == "busy"
    assert (answer.errors, caplog.text) == ("", "")


def test_reject_gives_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Reject is answered with its reason, quietly."""
    shop = Shop()
    shop.listens(raising=Reject("no such account"))

    answer = shop.replay()

    assert answer.verdict.kind == "reject"
    assert answer.verdict.error is not None and answer.verdict.error.message == "no such account"
    assert (answer.errors, caplog.text) == ("", "")


def test_no_listener_is_a_failure() -> None:
    """A deploy may be half way, so the event is tried again."""
    verdict = Shop().replay("nobody.listens").verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None and verdict.error.message == "no listener for 'nobody.listens' in this app"


def test_finished_listeners_are_told_and_not_called_again() -> None:
    """What the failed attempt says finished is not called by the next."""
    shop = Shop()
    shop.listens("bill")
    shop.listens("ship", raising=ValueError())

    finished = shop.replay().verdict.finished
    shop.received.clear()
    shop.replay(finished=finished)

    assert finished == ("bill",)
    assert len(shop.received) == 1


def test_the_release_is_told() -> None:
    """Every verdict names the app's release."""
    shop = Shop(config={"BRIDGE_RELEASE": "v7"})
    shop.listens(raising=ValueError())

    assert shop.replay().verdict.release == "v7"


def handler_of(status: int) -> Change:
    return lambda shop: shop.app.register_error_handler(Exception, lambda error: ("sorry", status))


def bridge_headers(shop: Shop) -> None:
    @shop.app.after_request
    def pretend(response: Response) -> Response:
        response.headers["Bridge-Outcome"] = "delivered"
        return response


@pytest.mark.parametrize("change", [handler_of(200), handler_of(404), bridge_headers])
def test_nothing_in_the_app_can_change_a_verdict(change: Change) -> None:
    """An error handler that answers 200 or 404, or a forged header, leaves the failure a failure."""
    shop = Shop()
    shop.listens(raising=ValueError("broken"))
    change(shop)

    verdict = shop.replay().verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None and verdict.error.message == "broken"


def test_error_handlers_and_teardown_see_the_exception() -> None:
    """The app's error handling works as in any request."""
    shop = Shop()
    broken = ValueError("broken")
    shop.listens(raising=broken)
    seen: list[object] = []

    @shop.app.errorhandler(ValueError)
    def apologise(error: ValueError) -> str:
        seen.append(error)
        return "sorry"

    shop.app.teardown_request(lambda error: seen.append("torn down"))
    shop.app.before_request(lambda: seen.append("before"))

    shop.replay()

    assert seen == ["before", broken, "torn down"]


def test_several_failures_reach_the_app_as_a_group() -> None:
    """An error reporter sees all of them."""
    shop = Shop()
    shop.listens("bill", raising=ValueError("one"))
    shop.listens("ship", raising=KeyError("two"))
    seen: list[BaseException] = []

    @shop.app.errorhandler(ExceptionGroup)
    def apologise(group: ExceptionGroup[Exception]) -> str:
        seen.append(group)
        return "sorry"

    shop.replay()

    (group,) = seen
    assert isinstance(group, ExceptionGroup)
    assert [type(error) for error in group.exceptions] == [ValueError, KeyError]


def test_a_failure_is_logged_as_in_any_request(caplog: pytest.LogCaptureFixture) -> None:
    """Flask logs it, with its traceback."""
    shop = Shop()
    shop.listens(raising=ValueError("broken"))

    shop.replay()

    assert "ValueError: broken" in caplog.text


def login_wall(shop: Shop) -> None:
    shop.app.before_request(lambda: redirect("/login"))


def csrf_check(shop: Shop) -> None:
    shop.app.before_request(lambda: abort(400))


def page_for_everything(shop: Shop) -> None:
    shop.app.before_request(lambda: Response("welcome", headers={"Bridge-Outcome": "delivered"}))


def broken_guard(shop: Shop) -> None:
    def guard() -> None:
        raise RuntimeError("guard")

    shop.app.before_request(guard)


@pytest.mark.parametrize("name", ["order.paid", "bridge.warmup"])
@pytest.mark.parametrize(
    ("change", "status"), [(login_wall, 302), (csrf_check, 400), (page_for_everything, 200), (broken_guard, 500)]
)
def test_an_answer_of_the_app_is_no_verdict(change: Change, status: int, name: str) -> None:
    """Whatever answers in the receiver's place passes as it is, without any Bridge header of its own."""
    shop = Shop()
    shop.listens()
    change(shop)

    answer = shop.replay(name)

    assert answer.status == status
    assert not any(header.startswith("bridge-") for header in answer.headers)
    assert shop.received == []


def test_an_exception_before_the_receiver_is_no_verdict() -> None:
    """One that Flask propagates is logged, and answered 500 without a verdict."""
    shop = Shop(config={"TESTING": True})
    broken_guard(shop)

    answer = shop.replay()

    assert (answer.status, "bridge-outcome" in answer.headers) == (500, False)
    assert "RuntimeError: guard" in answer.errors


def commit(*_: object) -> Any:
    raise OSError("the commit failed")


COMMITS: list[Change] = [
    lambda shop: shop.app.after_request(commit),
    lambda shop: shop.app.teardown_request(commit),
    lambda shop: shop.app.teardown_appcontext(commit),
]


@pytest.mark.parametrize("propagating", [False, True])
@pytest.mark.parametrize("change", COMMITS)
def test_what_fails_behind_the_listener_is_not_delivered(change: Change, propagating: bool) -> None:
    """Where the app commits after the view and that fails, the listener's work is lost: the event has failed."""
    shop = Shop(config={"TESTING": propagating})
    shop.listens()
    change(shop)

    verdict = shop.replay().verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None and verdict.error.message == "the commit failed"
    assert verdict.finished == ()


def test_what_fails_behind_a_reject_changes_nothing() -> None:
    """A verdict that is none of success stands."""
    shop = Shop()
    shop.listens(raising=Reject("no"))
    shop.app.after_request(commit)

    assert shop.replay().verdict.kind == "reject"


class Streaming:
    """A body that says what was done with it."""

    def __init__(self) -> None:
        self.read = 0
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(3):
            self.read += 1
            yield b"x" * 1000

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("name", ["order.paid", "nobody.listens"])
def test_the_apps_own_body_is_read_to_its_end_and_closed(name: str) -> None:
    """What the app would have sent is replaced, and done with in good order."""
    shop = Shop()
    shop.listens()
    body = Streaming()

    @shop.app.after_request
    def stream(response: Response) -> Response:
        response.response = body
        return response

    answer = shop.replay(name)

    assert (body.read, body.closed) == (3, True)
    assert len(answer.body) < 100


def test_the_warm_up_calls_no_listener() -> None:
    """It is delivered by the receiver, and no listener, however greedy, sees it."""
    shop = Shop()
    shop.events.on("#", name="all")(shop.received.append)

    assert shop.replay("bridge.warmup").verdict.kind == "delivered"
    assert shop.received == []


def test_nobody_else_finds_the_replay_url() -> None:
    """A request from outside cannot set what makes it a replay."""
    shop = Shop()
    shop.listens()

    response = shop.app.test_client().post("/_bridge/order.paid", json={}, headers={"Bridge-Replay": "1"})

    assert response.status_code == 404
    assert shop.received == []


def test_other_requests_pass_untouched() -> None:
    """The app's own answer comes back as it was, headers and all."""
    shop = Shop()
    shop.app.add_url_rule("/", view_func=lambda: Response("hello", headers={"Bridge-Outcome": "mine"}))

    response = shop.app.test_client().get("/")

    assert (response.text, response.headers["Bridge-Outcome"]) == ("hello", "mine")


def test_a_replay_without_its_parameters_is_refused_without_a_verdict() -> None:
    """What cannot be read is answered 400, and proves nothing."""
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


def test_a_coroutine_function_is_run_as_the_app_runs_them() -> None:
    """An async listener is awaited to its end."""
    shop = Shop(AsyncFlask("shop"))

    @shop.events.on("order.#")
    async def listener(event: Event) -> None:
        await asyncio.sleep(0)
        shop.received.append(event)

    assert shop.replay().verdict.kind == "delivered"
    assert len(shop.received) == 1


def test_teardown_runs_for_every_replay() -> None:
    """`g` and teardown belong to the one replay."""
    shop = Shop()
    seen: list[bool] = []
    shop.app.teardown_request(lambda error: seen.append(hasattr(g, "event")))
    shop.events.on("order.paid", name="mark")(lambda event: setattr(g, "event", event))
    shop.listens()

    shop.replay("order.paid")
    shop.replay("order.sent")

    assert seen == [True, False]


def middleware(app: Any) -> Callable[..., Iterable[bytes]]:
    """A middleware of the lazy kind: nothing happens before its answer is read."""

    def lazy(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        yield from app(environ, start_response)

    return lazy


def test_a_lazy_middleware_inside_is_waited_for() -> None:
    """A verdict that comes only while the answer is read is a verdict."""
    app = Flask("shop")
    app.wsgi_app = middleware(app.wsgi_app)  # type: ignore[method-assign]
    shop = Shop(app)
    shop.listens()

    answer: Answer = shop.replay()

    assert answer.verdict.kind == "delivered"


def test_a_request_that_breaks_off_is_not_run() -> None:
    """Where the body cannot be read whole, no listener sees half of it."""
    shop = Shop()
    shop.listens()

    class Broken(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise EOFError

    changes: dict[str, Any] = {"wsgi.input": Broken()}
    with pytest.raises(EOFError):
        shop.replay(**changes)
    assert shop.received == []
