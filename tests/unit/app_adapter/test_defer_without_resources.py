"""`defer()` in a process that has no thread or no descriptor left: a `DeferError`, and the next event is published."""

import _thread
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app_adapter.publishing_thread import PublishingThread
from bridge.errors import DeferError, DeferUnavailable
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.queues import Queue
from tests.deadlines import within
from tests.events import new_event
from tests.unit.app_adapter.doubles import FakeBroker

NO_DESCRIPTOR = """
import os, resource, sys
from app_adapter.fork_safe_publishing import publish
from bridge.config.settings import load_settings
from bridge.errors import DeferError
from tests.events import new_event

def attempt(timeout):
    given = {"broker_url": sys.argv[1], "publish_timeout": timeout}
    try:
        publish(load_settings(command_line=given, environ={}), new_event("order.paid", b"{}"), None)
    except DeferError as error:
        return f"{type(error).__name__}: {error}"
    return "published"

used = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for _ in range(int(sys.argv[2])):
    os.close(taken.pop())
print(attempt("1s"))
for descriptor in taken:
    os.close(descriptor)
print(attempt(sys.argv[3]))
"""


@pytest.mark.parametrize("free", [0, 1, 3, 5])
@pytest.mark.parametrize(
    ("url", "timeout", "later"),
    [("sqlite:///events.db", "60s", "published"), ("amqp://127.0.0.1:1/", "1s", "DeferUnavailable: ")],
)
def test_no_descriptor(tmp_path: Path, url: str, timeout: str, later: str, free: int) -> None:
    """However few are left, at the import, the event loop, the file or the socket: nothing but a `DeferError`."""
    command = [sys.executable, "-c", NO_DESCRIPTOR, url, str(free), timeout]
    environment = {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    first, then = done.stdout.splitlines()
    assert first == "published" or first.startswith("Defer")
    assert then.startswith(later)


def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says why. The next event starts the thread."""
    broker = FakeBroker()
    thread = PublishingThread(lambda: LazyPublisher(lambda: broker, (Queue("default"),)))
    with monkeypatch.context() as patched:
        patched.setattr(_thread, "start_new_thread", refusing)
        with pytest.raises(DeferUnavailable, match="cannot start a thread to publish: can't start new thread; nothing"):
            thread.publish(new_event("first", b"{}"), None, within(10))

    thread.publish(new_event("second", b"{}"), None, within(10))

    thread.close()
    assert [event.name for event, _, _ in broker.published] == ["second"]


def test_no_thread_for_the_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in making the loop or the publisher is that of every event that waits."""

    def make() -> LazyPublisher:
        raise OSError(24, "Too many open files")

    thread = PublishingThread(make)

    with pytest.raises(
        DeferUnavailable, match=r"cannot publish: OSError: .* Too many open files; nothing was published"
    ):
        thread.publish(new_event("first", b"{}"), None, within(10))

    assert not thread.alive


async def test_no_thread_for_the_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The operation fails at once, and the next one starts the thread."""
    from bridge.brokers.sqlite.broker import SqliteBroker

    broker = SqliteBroker(tmp_path / "events.db", "bridge")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refusing)
        with pytest.raises(Exception, match="cannot start a thread for it: can't start new thread"):
            await broker.declare([Queue("default")])

    await broker.declare([Queue("default")])
    await broker.publisher().publish(new_event("second", b"{}"))
    await broker.close()


def refusing(*_: object) -> None:
    """Fail as Python does when the system has no thread left."""
    raise RuntimeError("can't start new thread")


def test_it_is_a_defer_error() -> None:
    """An app that catches `DeferError` catches it."""
    assert issubclass(DeferUnavailable, DeferError)
