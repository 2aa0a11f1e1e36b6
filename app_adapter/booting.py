"""The boot of an app in a child: loads the app, and proves by a warm-up replay that its receiver answers."""

import os
import socket
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from flask import Flask
from flask.cli import NoAppException, ScriptInfo, load_dotenv
from flask.helpers import get_load_dotenv

from app_adapter.app_run import ignoring_app_run
from app_adapter.app_state import AppState
from app_adapter.call_to_end import call_to_end
from app_adapter.callable_checks import is_async, name_of
from app_adapter.defer import EXTENSION
from app_adapter.standard_streams import say
from bridge.attempt import cut_in_the_middle
from bridge.config.dot_env import is_installed
from bridge.console.standard_streams import open_descriptors
from bridge.envelope import Envelope
from bridge.errors import BridgeError
from bridge.event import Event, event_id
from bridge.fastcgi import Connection, ErrorOutput, FastCGIError, ReplyBody, ReplyHead
from bridge.reply import kind_in
from bridge.request import WARM_UP, parameters
from bridge.trust import Trust
from deferred_event_bridge.hidden_packages import IN_APP, hidden_packages

Serve = Callable[[Flask, socket.socket], object]

BODY_KEPT = 1000


class BootError(BridgeError):
    """The app cannot take events. The message is for the person who started it."""


def load(target: str) -> AppState:
    """Load the app that `flask --app` would load, with `.env` and `.flaskenv`. Raise `BootError`, or what the app
    raises."""
    sys.path.insert(0, str(Path.cwd()))
    if get_load_dotenv() and is_installed():  # without python-dotenv, the program that started this one has warned
        load_dotenv()
    try:
        with ignoring_app_run():
            app = ScriptInfo(app_import_path=target, set_debug_flag=False).load_app()
    except NoAppException as error:
        raise BootError(error.format_message()) from error
    finally:
        open_descriptors()  # the app may have closed some
        for line in _hidden_module_warnings(Path(sys.path[0])):
            say(f"{line}\n")
    state = app.extensions.get(EXTENSION)
    if not isinstance(state, AppState):
        raise BootError(
            f"the app {app.name!r} cannot take events, because it has no DeferredEvents. Add:\n\n"
            f"    from app_adapter import DeferredEvents\n"
            f"    events = DeferredEvents(app)\n"
        )
    return state


def _hidden_module_warnings(directory: Path) -> list[str]:
    """Return a warning for each module in this directory that this process cannot import, because one of our packages
    has its name and is imported already."""
    return [
        f"WARNING: {found.by} cannot be imported here: {found.name!r} is a package of deferred-event-bridge; rename it"
        for found in hidden_packages(IN_APP, [str(directory)])
    ]


def warm_up(state: AppState, serve: Serve) -> None:
    """Send the app a warm-up replay, then call its `on_warmup` functions. Raise `BootError`, or what they raise.

    Raise `BootError` too if an event has too many listeners, or if a listener, warm-up or idle function is async and
    the app cannot call it.
    """
    try:
        state.listeners.check_numbers()
    except ValueError as error:
        raise BootError(str(error)) from error
    _require_async(state)
    _probe(state, serve)
    for function in state.warm_ups:
        with state.app.app_context():
            call_to_end(f"the warm-up function {name_of(function)!r}", function, run=state.app.ensure_sync)


def _require_async(state: AppState) -> None:
    """Raise `BootError` if a function is asynchronous and the app cannot run it."""
    functions: list[tuple[str, Callable[..., object]]]
    functions = [(f"the listener {listener.name!r}", listener.function) for listener in state.listeners]
    functions += [(f"the warm-up function {name_of(function)!r}", function) for function in state.warm_ups]
    functions += [(f"the idle function {name_of(hook.function)!r}", hook.function) for hook in state.idles]

    async def nothing() -> None:
        pass

    for what, function in functions:
        if is_async(function):
            try:
                state.app.ensure_sync(nothing)
            except RuntimeError as error:  # raised by Flask: asgiref, which runs async functions, is not installed
                raise BootError(f"{what} cannot be called: install flask[async]. {error}") from error


def _probe(state: AppState, serve: Serve) -> None:
    """Replay the reserved event through the whole stack, as the worker would. Raise `BootError` unless the receiver
    answers."""
    now = datetime.now(UTC)
    event = Event(event_id(now, os.urandom(10)), WARM_UP, "bridge", now, "application/json", b"{}")
    reply = _exchange(
        parameters(Envelope(event, round_began=now), "warm-up", state.target), event.data, state.app, serve
    )
    if kind_in(reply.headers) != "delivered":
        output = cut_in_the_middle(reply.errors.decode("utf-8", "backslashreplace"), 4000)
        raise BootError(
            f"the warm-up of {state.app.name!r} did not reach the receiver: {_why(reply, now)}\n"
            f"Code that answers every request (a login wall, a CSRF check) must let the endpoint 'bridge_replay' pass; "
            f"that endpoint answers 404 to requests from outside."
            f"{f'{chr(10)}The app wrote:{chr(10)}{output}' if output else ''}"
        )


class _Reply(NamedTuple):
    """The reply to the warm-up replay. The names of the headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    errors: bytes


def _why(reply: _Reply, now: datetime) -> str:
    """Return in words why a reply is no success, as the worker would say it."""
    from bridge.outcome import Reply, outcome_of  # imported here, because few boots fail

    outcome = outcome_of(Reply(reply.status, reply.headers, reply.body, reply.errors), Trust.RECEIVER, now)
    error = getattr(outcome, "error", outcome)
    return str(getattr(error, "message", error))


def _exchange(params: dict[str, str], data: bytes, app: Flask, serve: Serve) -> _Reply:
    """Serve one request on a private socket pair, in the calling thread, and return the reply."""
    client, server = socket.socketpair()
    client.settimeout(None)  # the app may have set another default
    connection = Connection()
    head: ReplyHead | None = None
    body, errors = bytearray(), bytearray()
    with client:
        reader = _ReaderThread(client)
        client.sendall(connection.begin_request(params, keep_connection=False))
        client.sendall(connection.body(data) + connection.end_of_body())
        serve(app, server)
        received = reader.all()
    try:
        for reply in [*connection.receive(received), *connection.receive(b"")]:
            match reply:
                case ReplyHead():
                    head = reply
                case ReplyBody(data=piece):
                    body += piece
                case ErrorOutput(data=piece):
                    errors += piece
                case _:
                    pass
    except FastCGIError as error:
        raise BootError(f"the warm-up of {app.name!r} got no complete reply: {error}") from error
    if head is None:
        raise BootError(f"the warm-up of {app.name!r} got no reply")
    headers = {name.lower(): value for name, value in head.headers}
    return _Reply(head.status, headers, bytes(body[:BODY_KEPT]), bytes(errors))


class _ReaderThread:
    """Reads from a socket in a thread of its own, because the server may write more than the socket's buffer holds."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        self._received = bytearray()
        self._thread = threading.Thread(target=self._read, name="bridge-warm-up", daemon=True)
        self._thread.start()

    def all(self) -> bytes:
        """Wait for the stream's end, and return all its bytes."""
        self._thread.join()
        return bytes(self._received)

    def _read(self) -> None:
        while piece := self._source.recv(65536):
            self._received += piece
        self._source.shutdown(socket.SHUT_WR)  # the server has ended its side, and waits for the end of this side
