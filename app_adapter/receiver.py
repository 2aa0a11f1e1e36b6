"""The receiver: lets a replay through the whole app as an ordinary request, and alone says what came of it.

It stands around `app.wsgi_app`. Inside, its view calls the listeners, so that `before_request`, error handlers, error
reporters and teardown see everything as usual; outside, it replaces the app's answer by the verdict, so that none of
them can change it. An answer without a verdict (a login wall, a catch-all page) passes as it is, and proves nothing.
"""

import io
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, abort, current_app, request

from app_adapter.calling import call_all, error_of
from app_adapter.listeners import Listener, Listeners
from app_adapter.received import Event, event_of
from bridge.reply import STATUSES, Verdict, headers_of
from bridge.request import WARM_UP, is_replay, read

_VERDICT = "bridge.verdict"
_DATA = "bridge.data"


class Receiver:
    """The wrapper around an app's `wsgi_app`, and the view of the replay URL. `release` is the app's own name for its
    version, told with every verdict."""

    def __init__(self, inner: WSGIApplication, listeners: Listeners, release: str | None) -> None:
        self._inner = inner
        self._listeners = listeners
        self._release = release

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass any other request on as it is; answer a replay with its verdict."""
        if not is_replay(environ):
            return self._inner(environ, start_response)
        return self._receive(environ, start_response)

    def bridge_replay(self, name: str, **_: str) -> Response:
        """The view of the replay URL: call the listeners, note the verdict, raise what they raised. 404 for everyone
        but the bridge, which alone can set the parameter that makes a request a replay."""
        if not is_replay(request.environ):
            abort(404)
        if name == WARM_UP:
            return self._note(Verdict("delivered"))
        try:
            replay = read(request.environ, request.environ[_DATA])
        except (ValueError, TypeError) as error:
            abort(400, f"this is no replay: {error}")
        conclusion = call_all(
            self._listeners.matching(replay.event.name),
            event_of(replay, request.headers, current_app.json.loads),
            replay.finished,
            call=_call,
            now=datetime.now(UTC),
            log=current_app.logger,
        )
        response = self._note(conclusion.verdict)
        match conclusion.failures:
            case ():
                return response
            case (failure,):
                raise failure
            case failures:
                raise BaseExceptionGroup(f"{len(failures)} listeners failed", failures)

    def note_late_error(self, app: Flask, exception: BaseException, **_: Any) -> None:
        """Hear of an exception that Flask handles (`got_request_exception`). After `delivered` it can only come from
        what runs behind the view, where many apps commit: then the event was not handled."""
        verdict = request.environ.get(_VERDICT)
        if isinstance(verdict, Verdict) and verdict.kind == "delivered":
            request.environ[_VERDICT] = self._failed(exception)

    def _note(self, verdict: Verdict) -> Response:
        request.environ[_VERDICT] = verdict if self._release is None else replace(verdict, release=self._release)
        return Response(f"{verdict.kind}\n", mimetype="text/plain")

    def _failed(self, error: BaseException) -> Verdict:
        return Verdict("failed", error_of([error]), release=self._release)

    def _receive(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Read whole before the app runs, past any MAX_CONTENT_LENGTH: the bridge has a limit of its own.
        environ[_DATA] = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(environ[_DATA])
        answer = _Answer()
        chunks = answer.run(self._inner, environ)
        try:
            beginning = next(chunks, b"")
            if _VERDICT in environ:
                for _ in chunks:  # what a streaming answer does while it is read belongs to the request
                    pass
        except BaseException as error:
            if not self._stands(environ, error):
                return _plain(start_response, "500 Internal Server Error", [], "the app raised; no verdict\n")
        verdict: Verdict | None = environ.get(_VERDICT)
        if verdict is not None:
            return _plain(start_response, STATUSES[verdict.kind], headers_of(verdict), _text(verdict))
        start_response(answer.status, [header for header in answer.headers if not _is_ours(header[0])])
        return _followed(beginning, chunks)

    def _stands(self, environ: WSGIEnvironment, error: BaseException) -> bool:
        """Tell whether there is a verdict in spite of an exception that left the app."""
        verdict: Verdict | None = environ.get(_VERDICT)
        if verdict is None or verdict.kind == "delivered":
            traceback.print_exception(error, file=environ["wsgi.errors"])
        if verdict is not None and verdict.kind == "delivered":
            environ[_VERDICT] = self._failed(error)
        return verdict is not None


class _Answer:
    """The app's own answer, caught before it is sent."""

    def __init__(self) -> None:
        self.status = "500 Internal Server Error"
        self.headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []

    def run(self, app: WSGIApplication, environ: WSGIEnvironment) -> Iterator[bytes]:
        """Yield the answer's body, and close it at its end."""
        body = app(environ, self._start_response)
        try:
            yield from self._written
            yield from body
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        self.status, self.headers = status, headers
        return self._written.append


def _call(listener: Listener, event: Event) -> None:
    current_app.ensure_sync(listener.function)(event)


def _is_ours(name: str) -> bool:
    return name.lower().startswith("bridge-")


def _followed(beginning: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield beginning
    yield from chunks


def _text(verdict: Verdict) -> str:
    return f"{verdict.kind}\n" if verdict.error is None else f"{verdict.kind}: {verdict.error.bounded().message}\n"


def _plain(start_response: StartResponse, status: str, headers: list[tuple[str, str]], text: str) -> Iterable[bytes]:
    body = text.encode("utf-8", "backslashreplace")
    plain = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, [*plain, *headers])
    return [body]
