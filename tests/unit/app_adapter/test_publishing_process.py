"""The publishing threads of a process: who has one, what a fork does to them, and where none can run."""

import os
import signal
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app_adapter import publishing_process
from app_adapter.publishing_process import PublishingProcess, require_threads
from bridge.errors import BrokerUnavailable, DeferError
from bridge.event import Event
from bridge.settings import Settings, load_settings
from tests.unit.app_adapter.doubles import FakeBroker

EVENT = Event("the-id", "order.paid", "shop", datetime(2030, 1, 2, tzinfo=UTC), "application/json", b"{}")


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> list[FakeBroker]:
    """The brokers that were opened."""
    opened: list[FakeBroker] = []

    def open_broker(url: str, namespace: str, *, declare: bool) -> FakeBroker:
        opened.append(FakeBroker())
        return opened[-1]

    monkeypatch.setattr(publishing_process, "open_broker", open_broker)
    return opened


@pytest.fixture
def process(brokers: list[FakeBroker]) -> Iterator[PublishingProcess]:
    """A process's threads, as the module has them, of the test's own."""
    process = PublishingProcess()
    yield process
    process.close()


def settings(**values: str) -> Settings:
    """Return settings of this broker."""
    return load_settings(command_line=values, environ={})


def test_one_thread_for_each_broker(process: PublishingProcess) -> None:
    """Same URL, namespace and queues: same thread."""
    one = process.thread(settings())

    assert process.thread(settings()) is one
    assert process.thread(settings(namespace="other")) is not one
    assert process.thread(settings(broker_url="sqlite:///other.db")) is not one


def test_a_thread_that_died_is_replaced(process: PublishingProcess) -> None:
    """The next event finds one that works."""
    one = process.thread(settings())
    one.close()

    process.thread(settings()).publish(EVENT, None, 1.0)

    assert process.thread(settings()).alive


def test_after_the_close_nothing_is_published(process: PublishingProcess) -> None:
    """A defer() at the very end of a process is told so, instead of hanging."""
    process.close()

    with pytest.raises(BrokerUnavailable, match="ending"):
        process.thread(settings())


def in_child(process: PublishingProcess, brokers: list[FakeBroker]) -> bytes:
    """Publish one event, and say by which thread and broker that was."""
    before = len(brokers)
    process.thread(settings()).publish(EVENT, None, 2.0)
    return f"{len(brokers) - before} opened, {len(brokers[-1].published)} published".encode()


@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # from 3.12 on, of forking with threads: the point
def test_a_forked_child_publishes_by_a_thread_of_its_own(
    process: PublishingProcess, brokers: list[FakeBroker], tmp_path: Path
) -> None:
    """Even when the parent's lock was held at the fork; the parent goes on as before."""
    parents = process.thread(settings())
    parents.publish(EVENT, None, 1.0)
    report = tmp_path / "report"

    with process._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # should it hang, it must not outlive the test
            try:
                report.write_bytes(in_child(process, brokers))
            finally:
                os._exit(0)
    os.waitpid(child, 0)

    assert report.read_bytes() == b"1 opened, 1 published"
    assert process.thread(settings()) is parents


def test_fork_hooks_without_a_fork_change_nothing(process: PublishingProcess) -> None:
    """uvloop calls the hooks in processes that have not forked."""
    one = process.thread(settings())

    process._begin_if_forked()

    assert process.thread(settings()) is one


def under_uwsgi(monkeypatch: pytest.MonkeyPatch, options: dict[str, object]) -> None:
    """Make this process look as under uWSGI."""
    server = types.ModuleType("uwsgi")
    monkeypatch.setattr(server, "opt", options, raising=False)
    monkeypatch.setitem(sys.modules, "uwsgi", server)


@pytest.mark.parametrize("options", [{}, {"enable-threads": b"false"}, {"threads": b"0"}, {"processes": b"4"}])
def test_uwsgi_without_threads_is_told(
    monkeypatch: pytest.MonkeyPatch, process: PublishingProcess, options: dict[str, object]
) -> None:
    """The first defer() says what to do, instead of waiting for a thread that never runs."""
    under_uwsgi(monkeypatch, options)

    with pytest.raises(DeferError, match="--enable-threads"):
        process.thread(settings())


@pytest.mark.parametrize("options", [{"enable-threads": True}, {"enable-threads": b"1"}, {"threads": b"4"}])
def test_uwsgi_with_threads_is_fine(monkeypatch: pytest.MonkeyPatch, options: dict[str, object]) -> None:
    """Either option makes threads run."""
    under_uwsgi(monkeypatch, options)

    require_threads()


def test_other_servers_are_fine() -> None:
    """Without uWSGI there is nothing to check."""
    require_threads()
