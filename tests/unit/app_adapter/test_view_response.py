"""Tests of the view's response: whatever hooks do with it, it is sent as Flask's own is."""

from collections.abc import Callable, Iterator
from typing import get_args

import pytest
from flask import Flask, Response

from app_adapter.view_response import view_response
from bridge.reply import Kind

ENVIRON = Flask(__name__).test_request_context("/_bridge/a.b", method="POST").request.environ


def _length_of_its_own(response: Response) -> None:
    response.set_data(b"another text")


def _no_length(response: Response) -> None:
    del response.headers["Content-Length"]


def _location(response: Response) -> None:
    response.headers["Location"] = "/ä"


def _two_of_one_name(response: Response) -> None:
    response.headers.add("X-A", "1")
    response.headers.add("X-A", "2")


def _no_content(response: Response) -> None:
    response.status_code = 204


def _texts(response: Response) -> None:
    response.response = ["deliv", "ered\n"]


def _passed_through(response: Response) -> None:
    response.direct_passthrough = True


def _pieces(response: Response) -> None:
    response.response = (piece for piece in (b"deliv", b"ered\n"))


CHANGES: list[Callable[[Response], object]] = [
    lambda _: None,
    _length_of_its_own,
    _no_length,
    _location,
    _two_of_one_name,
    _no_content,
    _texts,
    _passed_through,
    _pieces,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_sends_what_flasks_response_sends(kind: Kind, change: Callable[[Response], object], method: str) -> None:
    """Status, headers and body are those of Flask's response with the same text, whatever a hook has changed."""
    ours, flasks = view_response(kind), Response(f"{kind}\n", content_type="text/plain; charset=utf-8")
    change(ours)
    change(flasks)
    assert _sent(ours, method) == _sent(flasks, method)


def test_hooks_see_the_length() -> None:
    """A hook reads the text and its length."""
    response = view_response("delivered")
    assert (response.get_data(), response.content_length, response.mimetype) == (b"delivered\n", 10, "text/plain")


def test_responses_share_no_headers() -> None:
    """A header of one response is not in the next, neither before nor after it was sent."""
    first = view_response("delivered")
    _, _, sent = first.get_wsgi_response(ENVIRON)
    sent.append(("X-Sent", "1"))
    first.headers["X-A"] = "1"
    assert dict(view_response("delivered").headers) == {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": "10",
    }


def test_calls_what_waits_for_its_end() -> None:
    """A function of `call_on_close` is called when the body is closed."""
    called: list[bool] = []
    response = view_response("delivered")
    response.call_on_close(lambda: called.append(True))
    body, _, _ = response.get_wsgi_response(ENVIRON)
    assert (b"".join(body), called) == (b"delivered\n", [])
    body.close()  # type: ignore[attr-defined]  # Werkzeug's iterator has it
    assert called == [True]


def test_the_body_is_an_iterator() -> None:
    """A middleware may take the pieces one by one."""
    body, _, _ = view_response("delivered").get_wsgi_response(ENVIRON)
    assert (next(body), list(body)) == (b"delivered\n", [])  # type: ignore[call-overload]  # Werkzeug's is one


@pytest.mark.parametrize("of", [view_response, lambda kind: Response(f"{kind}\n")])
def test_a_body_that_a_hook_has_put_there_is_closed(of: Callable[[Kind], Response]) -> None:
    """The pieces that a hook has put into the response are closed with it, also half read ones."""
    ended: list[bool] = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"deliv"
            yield b"ered\n"
        finally:
            ended.append(True)

    response = of("delivered")
    response.response = pieces()
    body, _, _ = response.get_wsgi_response(ENVIRON)
    next(iter(body))
    body.close()  # type: ignore[attr-defined]  # Werkzeug's iterator has it
    assert ended == [True]


def _sent(response: Response, method: str) -> tuple[bytes, str, list[tuple[str, str]]]:
    body, status, headers = response.get_wsgi_response(ENVIRON | {"REQUEST_METHOD": method})
    return b"".join(body), status, headers
