"""The receiver: passes a replay through the whole app as an ordinary request. Only the receiver answers with a verdict.

It wraps `app.wsgi_app`. Inside the app, its view calls the listeners, so that `before_request`, error handlers, error
reporters and teardown work as in any request. Outside, it replaces the app's answer by the verdict, so that the app
cannot change the verdict. An answer without a verdict (a login wall, a catch-all page) passes unchanged, and the worker
does not accept it as a success.
"""

import contextvars
import io
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, abort, request

from app_adapter.answers import answer_in
from app_adapter.call_to_end import call_to_end
from app_adapter.dispatch import Conclusion, call_all, error_of, first_answer
from app_adapter.listener_api import Event, event_of
from app_adapter.listeners import AppListeners, Listener, too_many
from app_adapter.news import ENVIRON as NEWS
from app_adapter.public_urls import set_public_url
from app_adapter.signals import Announcer
from bridge.attempt import Error
from bridge.call_reply import ANSWER, is_call
from bridge.config.values import Values
from bridge.errors import DeferError
from bridge.moments import Replayed, Replaying
from bridge.reply import STATUSES, Verdict, headers_of
from bridge.request import WARM_UP, Replay, is_replay, read
from bridge.topics import DEAD_LETTER

_REPLAY = "bridge.replay"


@dataclass(eq=False)
class _Running:
    """A replay while the app runs it. The environ refers to it, and so does each copy that a middleware makes."""

    data: bytes
    verdict: Verdict | None = None
    answer: tuple[bytes, str] | None = None
    """The answer to a call and its content type."""
    replaying: Replaying | None = None
    """The moment that was told at its beginning, and by the monotonic clock the time `since` then."""
    since: float = 0.0


class Receiver:
    """The wrapper around an app's `wsgi_app`, and the view of the replay URL.

    Each replay runs in a context of its own, so that what it sets in a ContextVar is not there in the next. Every
    verdict has the app's release.
    """

    def __init__(self, app: Flask, listeners: AppListeners, settings: Values, tell: Announcer) -> None:
        self._app = app
        self._inner = app.wsgi_app
        self._listeners = listeners
        self._release = settings.release
        self._max_body = settings.max_body
        self._public_url = settings.public_url
        self._tell = tell
        delivered = Verdict("delivered", release=settings.release)
        self._delivered = delivered, headers_of(delivered)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass other requests to the app unchanged; answer a replay with its verdict."""
        if not is_replay(environ):
            return self._inner(environ, start_response)
        return self._receive(environ, start_response)

    def view(self) -> Callable[..., Response]:
        """Return the view of the replay URL. It is a plain function, which Flask extensions can mark as exempt."""

        def bridge_replay(name: str, **_: str) -> Response:
            """Replay a deferred event."""
            return self._replay(name)

        return bridge_replay

    def _replay(self, name: str) -> Response:
        """Call the listeners, note the verdict, raise their failures.

        Answer 404 to requests from outside. Only the worker can set the parameter that makes a request a replay.
        """
        app, environ = self._app, request.environ  # `request` and `current_app` look these up at each use
        if not is_replay(environ):
            abort(404)
        running: _Running = environ[_REPLAY]
        if name == WARM_UP:
            return self._note(running, Verdict("delivered"))
        try:
            replay = read(environ, running.data)
        except (ValueError, TypeError) as error:
            abort(400, f"the replay cannot be read: {error}")
        listeners = self._listeners.matching(replay.event.name)
        refusal = too_many(replay.event.name, listeners)
        if refusal is not None:
            return self._note(running, Verdict("failed", refusal))
        event = event_of(replay, request.headers, app.json.loads, environ.get(NEWS))
        if is_call(environ):
            conclusion, result = first_answer(listeners, event, call=self._call, log=app.logger)
            if conclusion.verdict.kind == "delivered":
                conclusion = self._answer(running, result)
        else:
            self._tell_replaying(running, replay)
            if not listeners and replay.event.name.startswith(DEAD_LETTER) and self._tell.takes_dead_letters():
                return self._note(running, Verdict("delivered"))  # the receivers of `event_dead` have it
            conclusion = call_all(
                listeners, event, replay.finished, call=self._call, now=datetime.now(UTC), log=app.logger
            )
        response = self._note(running, conclusion.verdict)
        match conclusion.failures:
            case ():
                return response
            case (failure,):
                raise failure
            case failures:
                raise BaseExceptionGroup(f"{len(failures)} listeners failed", failures)

    def _call(self, listener: Listener, event: Event) -> Any:
        return call_to_end(listener.what, listener.function, event, run=self._app.ensure_sync)

    def _answer(self, running: _Running, result: Any) -> Conclusion:
        """Note the answer to a call. If it cannot be written, or is too large, the call has failed."""
        try:
            running.answer = answer_in(result, self._app.json.dumps, self._max_body)
        except DeferError as error:
            return Conclusion(Verdict("failed", Error(type(error).__name__, str(error))), (error,))
        return Conclusion(Verdict("delivered"))

    def note_late_error(self, app: Flask, exception: BaseException, **_: Any) -> None:
        """Receive an exception that Flask handles (`got_request_exception`), and turn `delivered` into `failed`.

        After `delivered` such an exception can only come from code that runs after the view. Many apps commit there.
        """
        running = request.environ.get(_REPLAY)
        if isinstance(running, _Running) and running.verdict is not None and running.verdict.kind == "delivered":
            running.verdict = self._failed(exception)

    def _note(self, running: _Running, verdict: Verdict) -> Response:
        if verdict.kind == "delivered":
            running.verdict = self._delivered[0]
        else:
            running.verdict = verdict if self._release is None else replace(verdict, release=self._release)
        return Response(f"{verdict.kind}\n", mimetype="text/plain")

    def _failed(self, error: BaseException) -> Verdict:
        return Verdict("failed", error_of([error]), release=self._release)

    def _receive(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Read before the app runs, without its MAX_CONTENT_LENGTH, because the bridge has its own limit.
        running = _Running(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        environ[_REPLAY] = running
        environ["wsgi.input"] = io.BytesIO(running.data)
        set_public_url(environ, self._app, self._public_url)
        answer, context = _Answer(), contextvars.copy_context()
        chunks = answer.run(self._inner, environ)
        try:
            beginning = context.run(_read_verdict, chunks, running)
        except BaseException as error:
            self._note_escaped(running, error, environ["wsgi.errors"])
            if running.verdict is None:
                return _plain(start_response, "500 Internal Server Error", [], "the app raised; no verdict\n")
        if running.verdict is not None:
            verdict = running.verdict
            if running.answer is not None and verdict.kind == "delivered":
                return _answered(start_response, verdict, *running.answer)
            if running.replaying is not None:
                self._tell_replayed(running, running.replaying, verdict, environ["wsgi.errors"])
            known, headers = self._delivered
            if verdict is not known:
                headers = headers_of(verdict)
            return _plain(start_response, STATUSES[verdict.kind], headers, _text(verdict))
        start_response(answer.status, [header for header in answer.headers if not _is_bridge_header(header[0])])
        return _rejoined(beginning, _in_context(context, chunks))

    def _tell_replaying(self, running: _Running, replay: Replay) -> None:
        if self._tell.hears_replays:
            running.replaying, running.since = Replaying(replay.event, replay.attempt, replay.queue), time.monotonic()
            self._tell(running.replaying)

    def _tell_replayed(self, running: _Running, began: Replaying, verdict: Verdict, errors: Any) -> None:
        seconds = time.monotonic() - running.since
        moment = Replayed(began.event, began.attempt, began.queue, verdict, seconds)

        def tell() -> None:
            with self._app.app_context():
                self._tell(moment)

        try:
            contextvars.copy_context().run(tell)
        except BaseException as error:  # the event has its verdict, whatever a teardown function of the app raises
            traceback.print_exception(error, file=errors)

    def _note_escaped(self, running: _Running, error: BaseException, errors: Any) -> None:
        """Print an exception that left the app, unless the verdict has it already. Turn `delivered` into `failed`."""
        if running.verdict is None or running.verdict.kind == "delivered":
            traceback.print_exception(error, file=errors)
        if running.verdict is not None and running.verdict.kind == "delivered":
            running.verdict = self._failed(error)


class _Answer:
    """The app's own answer, before it is sent."""

    def __init__(self) -> None:
        self.status = "500 Internal Server Error"
        self.headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []

    def run(self, app: WSGIApplication, environ: WSGIEnvironment) -> Generator[bytes, None, None]:
        """Yield the answer's body; close the body at its end."""
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


def _read_verdict(chunks: Generator[bytes, None, None], running: _Running) -> bytes:
    """Run the app, and return the first chunk of its answer. If there is a verdict by then, read the rest too: a
    streaming answer may run the app's code while it is read."""
    beginning = next(chunks, b"")
    if running.verdict is not None:
        for _ in chunks:
            pass
    return beginning


def _in_context(context: contextvars.Context, chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Yield the chunks. The code that makes them, and that ends after them, runs in the context."""
    end = object()
    try:
        while (chunk := context.run(next, chunks, end)) is not end:
            yield cast(bytes, chunk)
    finally:
        context.run(chunks.close)


def _is_bridge_header(name: str) -> bool:
    return name.lower().startswith("bridge-")


def _rejoined(beginning: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield beginning
    yield from chunks


def _text(verdict: Verdict) -> str:
    return f"{verdict.kind}\n" if verdict.error is None else f"{verdict.kind}: {verdict.error.bounded().message}\n"


def _answered(start_response: StartResponse, verdict: Verdict, data: bytes, content_type: str) -> Iterable[bytes]:
    """Send the answer to a call as the body, with its content type in a header that the app cannot set."""
    headers = [("Content-Type", content_type), ("Content-Length", str(len(data))), (ANSWER, content_type)]
    start_response(STATUSES[verdict.kind], [*headers, *headers_of(verdict)])
    return [data]


def _plain(start_response: StartResponse, status: str, headers: list[tuple[str, str]], text: str) -> Iterable[bytes]:
    body = text.encode("utf-8", "backslashreplace")
    plain = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, [*plain, *headers])
    return [body]
