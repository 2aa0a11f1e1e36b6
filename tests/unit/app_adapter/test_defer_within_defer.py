"""`defer()` that is called while another `defer()` of the same thread runs: by a signal handler, a finalizer or a log
handler. And exceptions that a signal handler raises in the middle of a `defer()`."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from app_adapter import fork_safe_publishing
from app_adapter.fork_safe_publishing import PublishingThreads, publish
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.config.settings import load_settings
from bridge.errors import DeferError
from bridge.event import Event
from bridge.local_database.database import Database
from bridge.local_database.own_threads import is_own_thread
from tests.events import new_event
from tests.limits import PATIENCE
from tests.unit.app_adapter.doubles import FakeBroker

SETTINGS = load_settings(command_line={"publish_timeout": "10s"}, environ={})
OURS = str(Path(fork_safe_publishing.__file__).parent)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBroker]:
    """Return the broker that this process publishes to."""
    broker, process = FakeBroker(), PublishingThreads()
    monkeypatch.setattr(fork_safe_publishing, "open_broker", lambda url, namespace, **options: broker)
    monkeypatch.setattr(fork_safe_publishing, "_threads_of_this_process", process)
    yield broker
    process.close()


def an_event(name: str) -> Event:
    """Return a new event of this name."""
    return new_event(name, b"{}")


def names(broker: FakeBroker) -> list[str]:
    """Return the names of the published events."""
    return [event.name for event, _, _ in broker.published]


@contextmanager
def interrupting(opcode: int, act: Callable[[], None]) -> Iterator[list[int]]:
    """Call `act` before this opcode, by number, of our code in this thread: at the places where a signal handler or a
    finalizer can run. Yield the list of the opcodes' numbers so far."""
    passed: list[int] = []

    def trace(frame: FrameType, kind: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes = True
        if kind == "opcode":
            passed.append(len(passed))
            if len(passed) - 1 == opcode:
                act()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield passed
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("started", [False, True], ids=["first", "later"])
def test_a_defer_may_interrupt_a_defer_anywhere(broker: FakeBroker, started: bool) -> None:
    """Both events are published, whether the publishing thread has been started or not."""
    opcodes = opcodes_of(broker, started)

    for opcode in range(0, opcodes, 3):
        ready(started)
        broker.published.clear()
        with interrupting(opcode, lambda: publish(SETTINGS, an_event("inner"), None)) as passed:
            publish(SETTINGS, an_event("outer"), None)
        expected = ["inner", "outer"] if len(passed) > opcode else ["outer"]
        assert sorted(names(broker)) == expected, f"at opcode {opcode}"


@pytest.mark.parametrize("started", [False, True], ids=["first", "later"])
def test_an_exception_of_a_signal_handler_passes_through_anywhere(broker: FakeBroker, started: bool) -> None:
    """It is the handler's own object, also if it is a `TimeoutError`. The next event is published."""
    opcodes = opcodes_of(broker, started)

    for opcode in range(1, opcodes - 10, 3):
        ready(started)
        raised = TimeoutError("the app's own limit")
        with pytest.raises(TimeoutError) as caught, interrupting(opcode, raising_at_once(raised)):
            publish(SETTINGS, an_event("outer"), None)
        assert caught.value is raised, f"at opcode {opcode}"
        broker.published.clear()
        publish(SETTINGS, an_event("next"), None)
        assert "next" in names(broker), f"after opcode {opcode}"


def raising_at_once(error: Exception) -> Callable[[], None]:
    """Return a function that raises this exception."""

    def act() -> None:
        raise error

    return act


def opcodes_of(broker: FakeBroker, started: bool) -> int:
    """Return the number of opcodes of one `defer()`."""
    ready(started)
    with interrupting(-1, lambda: None) as passed:
        publish(SETTINGS, an_event("outer"), None)
    assert names(broker)[-1:] == ["outer"]
    return len(passed)


def ready(started: bool) -> None:
    """Prepare this process: with a running publishing thread, or without one."""
    threads = fork_safe_publishing._threads_of_this_process
    if started:
        publish(SETTINGS, an_event("earlier"), None)
    else:
        threads.close()
        threads._by_pid.clear()


def test_an_event_whose_caller_was_interrupted_is_not_published_later(broker: FakeBroker) -> None:
    """The event that the publishing thread had not begun is withdrawn."""
    frozen, released = threading.Event(), threading.Event()

    async def freeze() -> None:
        frozen.set()
        released.wait(PATIENCE)

    publish(SETTINGS, an_event("earlier"), None)
    broker.publishing = freeze
    first = threading.Thread(target=publish, args=(SETTINGS, an_event("first"), None))
    first.start()
    assert frozen.wait(PATIENCE)

    with alarm(TimeoutError("the app's own limit")), pytest.raises(TimeoutError, match="own limit"):
        publish(SETTINGS, an_event("second"), None)
    released.set()
    first.join()
    publish(SETTINGS, an_event("third"), None)

    assert names(broker) == ["earlier", "first", "third"]


@contextmanager
def alarm(error: Exception) -> Iterator[None]:
    """Raise this exception from a signal handler after 0.1 s."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_handler_that_defers_interrupts_the_wait(broker: FakeBroker) -> None:
    """Both events are confirmed, though the outer `defer()` waits while the handler runs."""
    arrived: list[str] = []

    def handler(number: int, frame: FrameType | None) -> None:
        publish(SETTINGS, an_event("inner"), None)
        arrived.append("handled")

    async def until_handled() -> None:
        if broker.at_a_time == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
            while "inner" not in names(broker):
                await asyncio.sleep(0.01)

    publish(SETTINGS, an_event("earlier"), None)
    broker.publishing = until_handled
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        publish(SETTINGS, an_event("outer"), None)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert names(broker) == ["earlier", "inner", "outer"]
    assert arrived == ["handled"]


class DeferringHandler(logging.Handler):
    """A log handler that defers each record, and keeps the errors."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            publish(SETTINGS, an_event("logged"), None)
        except DeferError as error:
            self.errors.append(error)


def test_a_log_handler_may_defer(broker: FakeBroker) -> None:
    """A record of the app is deferred. On the publishing thread, `defer()` raises at once."""
    handler = DeferringHandler()
    log = logging.getLogger("bridge")

    async def logging_first() -> None:
        if not handler.errors:
            log.warning("the broker is slow")

    log.addHandler(handler)
    try:
        log.warning("a record of the app")
        broker.publishing = logging_first
        publish(SETTINGS, an_event("outer"), None)
    finally:
        log.removeHandler(handler)

    assert names(broker) == ["logged", "outer"]
    (error,) = handler.errors
    assert "'logged' was deferred on a thread that publishes events" in str(error)


def test_a_watcher_that_defers_may_not_do_so_on_the_publishing_thread(broker: FakeBroker) -> None:
    """The event that is being published is confirmed."""
    errors: list[DeferError] = []

    async def watching() -> None:
        with pytest.raises(DeferError) as caught:
            publish(SETTINGS, an_event("inner"), None)
        errors.append(caught.value)

    broker.publishing = watching
    publish(SETTINGS, an_event("outer"), None)

    assert names(broker) == ["outer"]
    assert "wait for itself" in str(errors[0])


def test_every_thread_that_publishes_is_known(broker: FakeBroker, tmp_path: Path) -> None:
    """A finalizer can run on each of them: the publishing thread, its helpers and the database's thread."""
    known: list[bool] = []

    async def looking() -> None:
        known.append(is_own_thread())
        known.append(await asyncio.to_thread(is_own_thread))
        database = Database(tmp_path / "a.db", Schema("bridge"))
        known.append(await database.run(lambda connection: is_own_thread()))
        await database.close()

    broker.publishing = looking
    publish(SETTINGS, an_event("outer"), None)

    assert known == [True, True, True]
    assert not is_own_thread()


def test_the_publishing_thread_keeps_no_context_of_a_caller(broker: FakeBroker) -> None:
    """A context variable of the first caller, such as the request, is not seen there."""
    request = ContextVar("request", default="none")
    seen: list[str] = []

    async def looking() -> None:
        seen.append(request.get())

    broker.publishing = looking
    request.set("first")
    publish(SETTINGS, an_event("outer"), None)

    assert seen == ["none"]
