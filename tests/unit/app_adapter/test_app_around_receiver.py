"""The whole Flask app around the receiver: only the receiver speaks for it, and every handler sees everything."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, abort, g, redirect

from app_adapter import Reject
from tests.unit.app_adapter.replays import Answer, Change, Shop


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
    app.wsgi_app = middleware(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
    shop = Shop(app)
    shop.listens()

    answer: Answer = shop.replay()

    assert answer.verdict.kind == "delivered"
