"""Idle functions: when they are due, what they cannot disturb, and what is refused when they are registered."""

import signal
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app

from app_adapter.flup_connection import FlupConnection
from app_adapter.flup_request import FlupServer
from app_adapter.idle import IdleHook, IdleHooks
from app_adapter.start_tokens import StartTokens
from bridge.child_protocol import StartToken, write_tokens
from bridge.fastcgi import encode_request
from bridge.fastcgi.requests import encode_whole
from tests.limits import PATIENCE
from tests.unit.app_adapter.children import Child
from tests.unit.app_adapter.fcgi_client import Client, request, running
from tests.unit.app_adapter.replays import Shop
from tests.unit.app_adapter.test_app_server import await_file
from tests.unit.app_adapter.test_front_child import body_length, front

APP = Flask("shop")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_hook_is_due_once_in_each_time_without_a_request() -> None:
    """The one with the shortest time first; all again after the next request."""
    clock, called = Clock(), []
    late, early = IdleHook(lambda: called.append("late"), 60), IdleHook(lambda: called.append("early"), 5)
    hooks = IdleHooks(APP, [late, early], clock)

    assert hooks.due_in() == 5
    clock.now = 7
    assert hooks.due_in() == 0
    hooks.call_next()
    assert (called, hooks.due_in()) == (["early"], 53)
    clock.now = 61
    hooks.call_next()
    assert (called, hooks.due_in()) == (["early", "late"], None)
    hooks.note_request()
    assert hooks.due_in() == 5


def test_a_hook_may_be_due_in_years() -> None:
    """A child waits for its request all the same."""
    hooks = IdleHooks(APP, [IdleHook(lambda: pytest.fail("it was not due"), 1e9)])
    server, client = socket.socketpair()
    with server, client:
        client.sendall(b"a request")
        hooks.wait(server)
    assert hooks.due_in() is not None


def test_a_hook_is_not_called_before_it_is_due() -> None:
    """If a wait ends earlier, the child waits again."""
    called: list[str] = []
    times = iter([0.0, 9.99, 9.995, 9.995, 10.0, 10.0])
    hooks = IdleHooks(APP, [IdleHook(lambda: called.append(f"at {next(times)}"), 10)], lambda: next(times))
    server, client = socket.socketpair()
    with server, client:
        hooks.wait(server)
    assert called == ["at 10.0"]


def test_a_hook_runs_in_an_app_context() -> None:
    """The app is the current app, and an `async def` is run where Flask can run it."""
    seen: list[Any] = []
    hooks = IdleHooks(APP, [IdleHook(lambda: seen.append(current_app.name), 1)])
    hooks.call_next()
    assert seen == ["shop"]


@pytest.mark.parametrize("raised", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_an_exception_is_logged_and_not_raised(raised: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """The record has its traceback."""

    def fail() -> None:
        raise raised

    hooks = IdleHooks(APP, [IdleHook(fail, 1)])
    hooks.call_next()

    (record,) = caplog.records
    assert "fail' failed; nothing else is affected" in record.getMessage()
    assert record.exc_info is not None
    assert hooks.due_in() is None


@pytest.mark.parametrize("after", ["60", None, True, [1]])
def test_an_after_that_is_no_time_is_refused(after: Any) -> None:
    """The message has the value, and says what was expected."""
    with pytest.raises(TypeError, match=r"on_idle\(after=.*expected seconds or a timedelta"):
        Shop().events.on_idle(after=after)


@pytest.mark.parametrize("after", [0, -1, float("nan"), float("inf"), timedelta(0)])
def test_an_after_that_is_not_positive_is_refused(after: Any) -> None:
    """A hook that is always due would keep a child busy."""
    with pytest.raises(ValueError, match="expected a positive time"):
        Shop().events.on_idle(after=after)


@pytest.mark.parametrize("function", [lambda event: None, (word for word in ("a",)), Shop.replay])
def test_a_function_that_cannot_be_called_is_refused(function: Any) -> None:
    """It must take no argument."""
    with pytest.raises(TypeError, match="idle function"):
        Shop().events.on_idle(after=1)(function)


def served(hooks: list[IdleHook], work: Callable[[Client], None]) -> None:
    """Serve a connection with these hooks in a thread, and be its client."""
    ours, theirs = socket.socketpair()
    connection = FlupConnection(theirs, FlupServer(body_length), IdleHooks(APP, hooks))
    with running(connection.run):
        client = Client(ours)
        work(client)
        client.close()


def test_a_request_waits_for_one_hook_at_most() -> None:
    """Hooks that are due together leave room for a request between them."""
    called: list[str] = []
    began, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        called.append("slow")
        began.set()
        assert go_on.wait(PATIENCE)

    def work(client: Client) -> None:
        assert began.wait(PATIENCE)
        client.send(request(b"abc"))
        go_on.set()
        assert client.record() is not None
        called.append("answered")

    served([IdleHook(slow, 0.01), IdleHook(lambda: called.append("next"), 0.01)], work)

    assert called[:2] == ["slow", "answered"]


def test_a_part_of_a_request_in_a_front_child_holds_hooks_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook would delay the request."""
    called: list[float] = []
    hooks = IdleHooks(APP, [IdleHook(lambda: called.append(time.monotonic()), 0.2)])
    with front(tmp_path, idle=hooks) as child:
        client = child.connect()
        whole = request(b"abc")
        client.send(whole[:20])
        with pytest.raises(TimeoutError):
            client.socket.settimeout(0.5)
            client.record()
        assert called == []
        client.socket.settimeout(PATIENCE)
        client.send(whole[20:])
        assert child.told(b".")
        deadline = time.monotonic() + PATIENCE
        while not called:
            assert time.monotonic() < deadline
            time.sleep(0.01)


IDLE_SHOP = """
    import os, time
    from flask import Flask
    from app_adapter import DeferredEvents

    app = Flask(__name__)
    events = DeferredEvents(app)

    @events.on("order.#")
    def listener(event):
        pass

    @events.on_idle(after=0.05)
    def fork():
        if os.fork() == 0:
            return
        with open("copy ended", "w") as file:
            file.write(str(os.wait()[1]))

    @events.on_idle(after=0.05)
    def slow():
        open("began", "w").close()
        while not os.path.exists("go on"):
            time.sleep(0.01)
        open("ended", "w").close()
"""


def test_sigterm_in_a_hook_ends_the_child_after_it(tmp_path: Path) -> None:
    """The hook runs to its end, as a request does. A copy that a hook has forked ends with its hook."""
    with Child(tmp_path, IDLE_SHOP) as child:
        await_file(tmp_path / "began")
        child.signal(signal.SIGTERM)
        (tmp_path / "go on").touch()

        assert child.process.wait(PATIENCE) == 0
    assert (tmp_path / "ended").exists()
    assert (tmp_path / "copy ended").read_text() == "0"


def test_a_hook_is_called_while_a_child_waits_for_a_token() -> None:
    """The token of a request that has arrived was taken back, and nothing else comes. Then the next one is served."""
    called = threading.Event()
    ours, theirs = socket.socketpair()
    giving, taking = socket.socketpair()
    hooks = IdleHooks(APP, [IdleHook(called.set, 0.01)])
    tokens = StartTokens(taking, lambda data: None)
    connection = FlupConnection(theirs, FlupServer(body_length), hooks, tokens)
    with giving, taking, running(connection.run):
        client = Client(ours)
        client.send(request(b"recalled"))
        assert called.wait(PATIENCE)
        giving.send(write_tokens([StartToken(2, marked=False)]))
        params = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "CONTENT_LENGTH": "4"}
        client.send(encode_whole(2, encode_request(params, b"four"), keep=True))
        assert client.output().endswith(b"4")
        client.close()
