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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Response, abort, request

from app_adapter.answers import answer_in
from app_adapter.app_answer import AppAnswer
from app_adapter.call_to_end import finish
from app_adapter.dispatch import ALL_DELIVERED, Conclusion, call_all, error_of, first_answer
from app_adapter.listener_api import NEWS, Event, event_of
from app_adapter.listeners import AppListeners, Listener, too_many
from app_adapter.public_urls import ReplayUrls
from app_adapter.running_listener import RunningListener, listener_now
from app_adapter.signals import Announcer
from app_adapter.verdict_reply import NO_VERDICT, reply_of, reply_with
from app_adapter.view_response import view_response
from app_adapter.with_sqlalchemy import imported
from bridge.app_moments import Replayed, Replaying
from bridge.attempt import Error
from bridge.call_words import is_call
from bridge.config.values import Values
from bridge.errors import DeferError
from bridge.reply import DELIVERED, Verdict
from bridge.request import WARM_UP, Replay, is_replay, read
from bridge.topics import DEAD_LETTER

_REPLAY = "bridge.replay"


@dataclass(eq=False, slots=True)
class _Running:
    """A replay while the app runs it. The environ refers to it, and so does each copy that a middleware makes."""

    data: bytes
    verdict: Verdict | None = None
    answer: tuple[bytes, str] | None = None
    """The answer to a call and its content type."""
    replaying: Replaying | None = None
    """The moment that was told at its beginning, and by the monotonic clock the time `since` then."""
    since: float = 0.0

    def is_judged(self) -> bool:
        """Return True if there is a verdict."""
        return self.verdict is not None


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
        self._namespace = settings.namespace
        self._max_body = settings.max_body
        self._urls = ReplayUrls(app, settings.public_url)
        self._tell = tell
        self._delivered = Verdict("delivered", release=settings.release)
        self._reply_to_delivered = reply_of(self._delivered)

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
        # `request` looks the request up for each of its attributes, which costs more than all of the verdict.
        asked = request._get_current_object()  # type: ignore[attr-defined]  # typed as the request itself
        app, environ = self._app, asked.environ
        if not is_replay(environ):
            abort(404)
        running: _Running = environ[_REPLAY]
        if name == WARM_UP:
            return self._note(running, DELIVERED)
        try:
            replay = read(environ, running.data)
        except (ValueError, TypeError) as error:
            abort(400, f"the replay cannot be read: {error}")
        listeners = self._listeners.matching(replay.name)
        refusal = too_many(replay.name, listeners)
        if refusal is not None:
            return self._note(running, Verdict("failed", refusal))
        event = event_of(replay, asked.headers, app.json.loads, environ.get(NEWS))
        if is_call(environ):
            conclusion, result = first_answer(listeners, event, call=self._call, log=app.logger)
            if conclusion.verdict.kind == "delivered":
                conclusion = self._answer(running, result)
        else:
            if self._tell.hears_replays:
                self._tell_replaying(running, replay)
            if not listeners and replay.name.startswith(DEAD_LETTER) and self._tell.takes_dead_letters():
                return self._note(running, DELIVERED)  # the receivers of `event_dead` have it
            conclusion = call_all(listeners, event, replay.finished, call=self._call, now=_now, log=app.logger)
        response = self._note(running, conclusion.verdict)
        match conclusion.failures:
            case ():
                return response
            case (failure,):
                raise failure
            case failures:
                raise BaseExceptionGroup(f"{len(failures)} listeners failed", failures)

    def _call(self, listener: Listener, event: Event) -> Any:
        call = RunningListener(event.id, listener.name)
        listener_now.set(call)
        if listener.once is not None:
            once = imported("once")
            return once.run_once(listener.once, self._namespace, call, listener, event, self._app.ensure_sync)
        result = listener.function(event)
        return None if result is None else finish(listener.what, result, self._app.ensure_sync)

    def _answer(self, running: _Running, result: Any) -> Conclusion:
        """Note the answer to a call. If it cannot be written, or is too large, the call has failed."""
        try:
            running.answer = answer_in(result, self._app.json.dumps, self._max_body)
        except DeferError as error:
            return Conclusion(Verdict("failed", Error(type(error).__name__, str(error))), (error,))
        return ALL_DELIVERED

    def note_late_error(self, app: Flask, exception: BaseException, **_: Any) -> None:
        """Receive an exception that Flask handles (`got_request_exception`), and turn `delivered` into `failed`.

        After `delivered` such an exception can only come from code that runs after the view. Many apps commit there.
        """
        running = request.environ.get(_REPLAY)
        if isinstance(running, _Running) and running.verdict is not None and running.verdict.kind == "delivered":
            running.verdict = self._failed(exception)

    def _note(self, running: _Running, verdict: Verdict) -> Response:
        if verdict.kind == "delivered":
            running.verdict = self._delivered
        else:
            running.verdict = verdict if self._release is None else replace(verdict, release=self._release)
        return view_response(verdict.kind)

    def _failed(self, error: BaseException) -> Verdict:
        return Verdict("failed", error_of([error]), release=self._release)

    def _receive(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Read before the app runs, without its MAX_CONTENT_LENGTH, because the bridge has its own limit.
        running = _Running(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        environ[_REPLAY] = running
        environ["wsgi.input"] = io.BytesIO(running.data)
        self._urls.set_in(environ)
        answer, context = AppAnswer(), contextvars.copy_context()
        try:
            chunks = context.run(answer.run, self._inner, environ, running.is_judged)
        except BaseException as error:
            chunks = None
            self._note_escaped(running, error, environ["wsgi.errors"])
        if chunks is not None:
            return answer.pass_on(start_response, context, chunks)
        verdict = running.verdict
        if verdict is None:
            return NO_VERDICT.send(start_response)
        if running.answer is not None and verdict.kind == "delivered":
            return reply_with(verdict, *running.answer).send(start_response)
        if running.replaying is not None:
            self._tell_replayed(running, running.replaying, verdict, environ["wsgi.errors"])
        reply = self._reply_to_delivered if verdict is self._delivered else reply_of(verdict)
        return reply.send(start_response)

    def _tell_replaying(self, running: _Running, replay: Replay) -> None:
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


def _now() -> datetime:
    return datetime.now(UTC)
