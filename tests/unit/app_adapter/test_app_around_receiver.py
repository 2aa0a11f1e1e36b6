"""The whole Flask app around the receiver: only the receiver makes the verdict, and every handler of the app runs."""

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from types import FunctionType
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
    """An error handler that answers 200 or 404, or a forged header, does not turn a failure into a success."""
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
    """An error reporter receives all of them."""
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
    """An answer in the receiver's place passes unchanged, without Bridge headers."""
    shop = Shop()
    shop.listens()
    change(shop)

    answer = shop.replay(name)

    assert answer.status == status
    assert not any(header.startswith("bridge-") for header in answer.headers)
    assert shop.received == []


def test_an_exception_before_the_receiver_is_no_verdict() -> None:
    """An exception that Flask propagates is logged, and answered 500 without a verdict."""
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
def test_an_error_after_the_listener_is_a_failure(change: Change, propagating: bool) -> None:
    """If the app commits after the view and that fails, the listener's work is lost, so the event has failed."""
    shop = Shop(config={"TESTING": propagating})
    shop.listens()
    change(shop)

    verdict = shop.replay().verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None and verdict.error.message == "the commit failed"
    assert verdict.finished == ()


def test_an_error_after_a_reject_changes_nothing() -> None:
    """Only `delivered` is turned into a failure."""
    shop = Shop()
    shop.listens(raising=Reject("no"))
    shop.app.after_request(commit)

    assert shop.replay().verdict.kind == "reject"


class Streaming:
    """A body that records what was done with it."""

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
    """The app's answer is replaced, but its body is used as a server would use it."""
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
    """`g` and teardown belong to one replay."""
    shop = Shop()
    seen: list[bool] = []
    shop.app.teardown_request(lambda error: seen.append(hasattr(g, "event")))
    shop.events.on("order.paid", name="mark")(lambda event: setattr(g, "event", event))
    shop.listens()

    shop.replay("order.paid")
    shop.replay("order.sent")

    assert seen == [True, False]


def middleware(app: Any) -> Callable[..., Iterable[bytes]]:
    """Return a lazy middleware: it calls the app only when its answer is read."""

    def lazy(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        yield from app(environ, start_response)

    return lazy


def test_a_lazy_middleware_inside_is_waited_for() -> None:
    """A verdict that is made while the answer is read counts."""
    app = Flask("shop")
    app.wsgi_app = middleware(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
    shop = Shop(app)
    shop.listens()

    answer: Answer = shop.replay()

    assert answer.verdict.kind == "delivered"


def copying(app: Any) -> Callable[..., Iterable[bytes]]:
    """Return a middleware that hands on a copy of the environ, as Flask-SocketIO's does."""
    return lambda environ, start_response: app({**environ, "flask.app": "it"}, start_response)


@pytest.mark.parametrize("wrap", [copying, lambda app: copying(copying(app)), lambda app: middleware(copying(app))])
@pytest.mark.parametrize("inside", [True, False])
def test_a_verdict_survives_middleware_that_copies_the_environ(wrap: Any, inside: bool) -> None:
    """Inside of the receiver or around it; an error after the view counts too."""
    app = Flask("shop")
    if inside:
        app.wsgi_app = wrap(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
    shop = Shop(app)
    if not inside:
        app.wsgi_app = wrap(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
    shop.listens()
    failing: list[bool] = []
    app.after_request(lambda response: commit() if failing else response)

    assert shop.replay().verdict.kind == "delivered"
    assert shop.replay("nobody.listens").verdict.kind == "failed"
    failing.append(True)
    verdict = shop.replay().verdict
    assert verdict.error is not None and verdict.error.message == "the commit failed"


def test_the_view_can_be_marked() -> None:
    """Extensions set attributes on a view, or remember its module and name."""
    view: Any = Shop().app.view_functions["bridge_replay"]

    view.exempt = True

    assert isinstance(view, FunctionType)
    assert view.__name__ == "bridge_replay"


TENANT: ContextVar[str] = ContextVar("tenant", default="none")


def test_a_context_variable_of_one_event_is_not_there_in_the_next() -> None:
    """Neither what a listener sets, nor what code around it sets, nor what a streamed body sets."""
    shop = Shop()
    seen: list[str] = []
    shop.app.before_request(lambda: seen.append(TENANT.get()))
    shop.app.before_request(lambda: TENANT.set("before") and None)
    shop.events.on("order.#", name="set")(lambda event: TENANT.set("listener") and None)

    @shop.app.after_request
    def stream(response: Response) -> Response:
        response.response = (TENANT.set("body") and b"" for _ in range(2))
        return response

    for name in ("order.paid", "nobody.listens", "order.paid"):
        shop.replay(name)

    assert seen == ["none"] * 3
    assert TENANT.get() == "none"


def test_a_context_variable_of_the_boot_is_there_in_each_event() -> None:
    """An app may set it in its import or its warm-up. It is there from the view to the end of a body."""
    shop = Shop()
    seen: list[str] = []
    shop.events.on("order.#", name="look")(lambda event: seen.append(TENANT.get()))
    shop.app.teardown_request(lambda error: seen.append(TENANT.get()))

    token = TENANT.set("boot")
    shop.replay()
    TENANT.reset(token)

    assert seen == ["boot", "boot"]
