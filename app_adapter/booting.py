"""The boot of an app in a child: it is loaded, and a warm-up replay proves that its receiver answers."""

import os
import socket
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask
from flask.cli import NoAppException, ScriptInfo

from app_adapter.defer import EXTENSION
from app_adapter.extension import AppState
from bridge.attempt import cut_in_the_middle
from bridge.envelope import Envelope
from bridge.errors import BridgeError
from bridge.event import Event, event_id
from bridge.fastcgi import Connection, ErrorOutput, FastCGIError, ReplyBody, ReplyHead
from bridge.outcome import Reply, Succeeded, Trust, outcome_of
from bridge.request import WARM_UP, parameters

Serve = Callable[[Flask, socket.socket], object]

OUR_PACKAGES = ("bridge", "app_adapter")
BODY_KEPT = 1000


class BootError(BridgeError):
    """The app cannot take events; the message is for whoever started it."""


def load(target: str) -> AppState:
    """Load the app that `flask --app` would. Raise `BootError`, or what the app raises."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        app = ScriptInfo(app_import_path=target, set_debug_flag=False).load_app()
    except NoAppException as error:
        raise BootError(error.format_message()) from error
    finally:
        for line in shadowed(Path(sys.path[0])):
            print(line, file=sys.stderr, flush=True)
    state = app.extensions.get(EXTENSION)
    if not isinstance(state, AppState):
        raise BootError(
            f"the app {app.name!r} cannot take events, for it has no DeferredEvents. Add to it:\n\n"
            f"    from app_adapter import DeferredEvents\n"
            f"    events = DeferredEvents(app)\n"
        )
    return state


def shadowed(directory: Path) -> list[str]:
    """Return a warning for each module of this directory that has the name of one of our packages."""
    ours = Path(__file__).resolve().parents[1]
    modules = [directory / name for package in OUR_PACKAGES for name in (package, f"{package}.py")]
    return [
        f"warning: {module} cannot be imported here: {module.stem!r} is a package of deferred-event-bridge; rename it"
        for module in modules
        if (module.is_file() or any(module.glob("*.py"))) and module.resolve().parent != ours
    ]


def warm_up(state: AppState, serve: Serve) -> None:
    """Let the app answer a warm-up, then call its `on_warmup` functions. Raise `BootError` (also for a listener
    that the app has no means to call), or what they raise."""
    for listener in state.events.listeners:
        try:
            state.app.ensure_sync(listener.function)
        except RuntimeError as error:  # Flask's: it is async, and there is nothing to run it with
            raise BootError(
                f"the listener {listener.name!r} cannot be called: install flask[async]. {error}"
            ) from error
    _probe(state, serve)
    for function in state.events.warm_ups:
        with state.app.app_context():
            state.app.ensure_sync(function)()


def _probe(state: AppState, serve: Serve) -> None:
    """Replay the reserved event through the whole stack, as the worker would, and insist on the receiver's word."""
    now = datetime.now(UTC)
    event = Event(event_id(now, os.urandom(10)), WARM_UP, "bridge", now, "application/json", b"{}")
    reply = _exchange(parameters(Envelope(event, round_began=now), "warm-up", state.site), event.data, state.app, serve)
    outcome = outcome_of(reply, Trust.RECEIVER, now)
    if not isinstance(outcome, Succeeded):
        why = getattr(outcome, "error", outcome)
        said = cut_in_the_middle(reply.error_output.decode("utf-8", "backslashreplace"), 4000)
        raise BootError(
            f"the warm-up of {state.app.name!r} did not reach the receiver: {getattr(why, 'message', why)}\n"
            f"Whatever answers every request (a login wall, a CSRF check) must let the endpoint 'bridge_replay' pass; "
            f"it takes nothing from outside.{f'{chr(10)}The app wrote:{chr(10)}{said}' if said else ''}"
        )


def _exchange(params: dict[str, str], data: bytes, app: Flask, serve: Serve) -> Reply:
    """Serve one request on a private socket pair, in this very thread, and return the reply."""
    ours, theirs = socket.socketpair()
    connection = Connection()
    head: ReplyHead | None = None
    body, errors = bytearray(), bytearray()
    with ours:
        reading = _Reading(ours)
        ours.sendall(connection.begin_request(params, keep_connection=False))
        ours.sendall(connection.body(data) + connection.end_of_body())
        serve(app, theirs)
        received = reading.all()
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
        raise BootError(f"the warm-up of {app.name!r} got no whole reply: {error}") from error
    if head is None:
        raise BootError(f"the warm-up of {app.name!r} got no reply")
    headers = {name.lower(): value for name, value in head.headers}
    return Reply(head.status, headers, bytes(body[:BODY_KEPT]), bytes(errors))


class _Reading:
    """Reads all that comes, beside a server that may write more than a socket holds."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        self._received = bytearray()
        self._thread = threading.Thread(target=self._read, name="bridge-warm-up", daemon=True)
        self._thread.start()

    def all(self) -> bytes:
        """Return it, once the stream has ended."""
        self._thread.join()
        return bytes(self._received)

    def _read(self) -> None:
        while piece := self._source.recv(65536):
            self._received += piece
        self._source.shutdown(socket.SHUT_WR)  # the server, which has ended its side, waits for ours
