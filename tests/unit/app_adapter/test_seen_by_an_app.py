"""A replay is a whole request: the app's hooks, signals, error handlers and middleware see what they see in a request
of werkzeug's client, also if several requests are in flight on the child's connection."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from flask import Flask, Response, g, got_request_exception, request, request_finished, request_started
from flask.signals import appcontext_popped, appcontext_pushed, request_tearing_down

from app_adapter import DeferredEvents, Event
from bridge.envelope import Envelope
from bridge.event import Event as Deferred
from bridge.fastcgi import encode_request
from bridge.fastcgi.requests import encode_whole
from bridge.request import ReplayTarget, parameters
from tests.unit.app_adapter.fcgi_client import STDERR, STDOUT, served

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
Seen = list[tuple[object, ...]]


class _Middleware:
    """Notes the environ that it gets and the status that it passes on."""

    def __init__(self, app: WSGIApplication, seen: Seen) -> None:
        self._app, self._seen = app, seen

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self._seen.append(("middleware", [(key, environ[key]) for key in sorted(PARAMETERS)]))

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
            self._seen.append(("status", status))
            return start_response(status, headers, exc_info)

        return self._app(environ, start)


def an_app(seen: Seen, *, handles: bool) -> Flask:
    """Return an app all of whose hooks note what they see. `handles`: it has an error handler for `LookupError`."""
    app = Flask("shop")
    app.config["BRIDGE_BROKER_URL"] = "sqlite:///never.db"
    events = DeferredEvents(app)
    app.wsgi_app = _Middleware(app.wsgi_app, seen)  # type: ignore[method-assign]

    def note(what: str) -> None:
        seen.append((what, request.method, request.path, request.endpoint, g.get("number")))

    @app.before_request
    def before() -> None:
        g.number = len(seen)
        note("before_request")

    @app.after_request
    def after(response: Response) -> Response:
        note("after_request")
        seen.append(("response", response.status, response.get_data()))
        return response

    @app.teardown_request
    def teardown_request(error: BaseException | None) -> None:
        seen.append(("teardown_request", repr(error), g.get("number")))

    @app.teardown_appcontext
    def teardown_appcontext(error: BaseException | None) -> None:
        seen.append(("teardown_appcontext", repr(error)))

    if handles:

        @app.errorhandler(LookupError)
        def handled(error: LookupError) -> tuple[str, int]:
            note("errorhandler")
            return f"handled {error}", 418

    @app.context_processor
    def context() -> dict[str, object]:
        return {}

    @events.on("order.#")
    def listener(event: Event) -> None:
        note("listener")
        seen.append(("data", event.data, request.get_data(), request.headers.get("Ce-Id"), event.attempt))
        if event.name == "order.lost":
            raise LookupError("lost")

    return app


SIGNALS = (
    *(request_started, request_finished, got_request_exception, request_tearing_down),
    *(appcontext_pushed, appcontext_popped),
)


PARAMETERS = parameters(
    Envelope(Deferred("e0", "order.paid", "till", NOW, "application/json", b"{}"), NOW), "mail", ReplayTarget()
)
"""Each has to reach the app. A client and a server add others of their own."""


def replays(name: str, count: int) -> list[tuple[dict[str, str], bytes]]:
    """Return the parameters and the data of replays."""
    events = [
        Deferred(f"e{number}", name, "till", NOW, "application/json", b'{"n": %d}' % number) for number in range(count)
    ]
    return [(parameters(Envelope(event, NOW), "mail", ReplayTarget()), event.data) for event in events]


def by_client(app: Flask, requests: list[tuple[dict[str, str], bytes]]) -> list[bytes]:
    """Send requests by werkzeug's client."""
    client = app.test_client()
    return [client.open(each["PATH_INFO"], environ_overrides=each, data=data).data for each, data in requests]


def by_child(app: Flask, requests: list[tuple[dict[str, str], bytes]]) -> list[bytes]:
    """Send requests over the connection of a child, all in one piece."""
    with served(app) as client:
        whole = [encode_request(params, data) for params, data in requests]
        client.send(b"".join(encode_whole(number, each, keep=True) for number, each in enumerate(whole, 1)))
        replies = [client.reply() for _ in requests]
    assert all(kind != STDERR or b"Traceback" in content for reply in replies for kind, content in reply)
    return [b"".join(content for kind, content in reply if kind == STDOUT) for reply in replies]


@pytest.mark.parametrize("handles", [True, False])
@pytest.mark.parametrize("name", ["order.paid", "order.lost"])
def test_an_app_sees_a_whole_request(name: str, handles: bool) -> None:
    """In the same order, with the same content, and once for each request."""
    requests = replays(name, 3)
    in_client: Seen = []
    in_child: Seen = []
    for seen, send in ((in_client, by_client), (in_child, by_child)):
        app = an_app(seen, handles=handles)

        def note_signal(sender: Flask, *, seen: Seen = seen, app: Flask = app, **extra: object) -> None:
            seen.append(("signal", sender is app, sorted(extra)))

        for signal in SIGNALS:
            signal.connect(note_signal, app)
        answers = send(app, requests)
        kind = b"failed" if name == "order.lost" else b"delivered"
        assert all(kind in answer for answer in answers)
    assert in_client.count(("signal", True, [])) > 0
    assert [each[0] for each in in_child] == [each[0] for each in in_client]
    assert in_child == in_client
