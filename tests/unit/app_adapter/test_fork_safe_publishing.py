"""The publishing threads of a process: one for each broker, new ones after a fork, and none under uWSGI without
threads."""

import os
import signal
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app_adapter import fork_safe_publishing
from app_adapter.fork_safe_publishing import PublishingThreads, require_threads
from bridge.config.settings import Settings, load_settings
from bridge.errors import DeferError, DeferUnavailable
from bridge.event import Event
from tests.deadlines import within
from tests.unit.app_adapter.doubles import FakeBroker

EVENT = Event("the-id", "order.paid", "shop", datetime(2030, 1, 2, tzinfo=UTC), "application/json", b"{}")


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> list[FakeBroker]:
    """Return the list of opened brokers."""
    opened: list[FakeBroker] = []

    def open_broker(url: str, namespace: str, **options: object) -> FakeBroker:
        opened.append(FakeBroker())
        return opened[-1]

    monkeypatch.setattr(fork_safe_publishing, "open_broker", open_broker)
    return opened


@pytest.fixture
def process(brokers: list[FakeBroker]) -> Iterator[PublishingThreads]:
    """Yield publishing threads of the test's own."""
    process = PublishingThreads()
    yield process
    process.close()


def settings(**values: str) -> Settings:
    """Return settings with this broker."""
    return load_settings(command_line=values, environ={})


def test_one_thread_for_each_broker(process: PublishingThreads) -> None:
    """The same URL, namespace and queues have the same thread."""
    one = process.thread(settings())

    assert process.thread(settings()) is one
    assert process.thread(settings(namespace="other")) is not one
    assert process.thread(settings(broker_url="sqlite:///other.db")) is not one


def test_the_settings_of_the_event_before(process: PublishingThreads) -> None:
    """They have the same thread again, but not where a missing file is not created. Other settings between them change
    nothing."""
    one, other = settings(), settings(namespace="other")
    thread = process.thread(one)

    assert process.thread(one) is thread
    assert process.thread(one, creates=False) is not thread
    assert process.thread(one) is thread
    assert process.thread(other) is not thread
    assert process.thread(one) is thread


def test_a_thread_that_died_is_replaced(process: PublishingThreads) -> None:
    """The next event is published by a new thread."""
    process.thread(settings()).publish(EVENT, None, within(1.0))
    process.thread(settings()).close()

    process.thread(settings()).publish(EVENT, None, within(1.0))

    assert process.thread(settings()).alive


def test_after_the_close_nothing_is_published(process: PublishingThreads) -> None:
    """A `defer()` at the end of a process raises instead of hanging."""
    same = settings()
    process.thread(same)
    process.close()

    for each in (same, settings()):
        with pytest.raises(DeferUnavailable, match="ending"):
            process.thread(each)


def in_child(process: PublishingThreads, same: Settings, brokers: list[FakeBroker]) -> bytes:
    """Publish one event; return the thread and the broker that it used."""
    before = len(brokers)
    process.thread(same).publish(EVENT, None, within(2.0))
    return f"{len(brokers) - before} opened, {len(brokers[-1].published)} published".encode()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of a fork with threads
def test_a_forked_child_publishes_by_a_thread_of_its_own(
    process: PublishingThreads, brokers: list[FakeBroker], tmp_path: Path
) -> None:
    """The child inherits no thread, and the parent goes on as before."""
    same = settings()
    parents = process.thread(same)
    parents.publish(EVENT, None, within(1.0))
    report = tmp_path / "report"

    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a child that hangs must not outlive the test
        try:
            report.write_bytes(in_child(process, same, brokers))
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert report.read_bytes() == b"1 opened, 1 published"
    assert process.thread(same) is parents


def test_fork_hooks_without_a_fork_change_nothing(process: PublishingThreads) -> None:
    """uvloop calls the hooks in processes that have not forked."""
    one = process.thread(settings())

    process._forget_ancestors()

    assert process.thread(settings()) is one


def under_uwsgi(monkeypatch: pytest.MonkeyPatch, options: dict[str, object]) -> None:
    """Make this process look like a uWSGI process with these options."""
    server = types.ModuleType("uwsgi")
    monkeypatch.setattr(server, "opt", options, raising=False)
    monkeypatch.setitem(sys.modules, "uwsgi", server)


@pytest.mark.parametrize("options", [{}, {"enable-threads": b"false"}, {"threads": b"0"}, {"processes": b"4"}])
def test_uwsgi_without_threads_is_refused(
    monkeypatch: pytest.MonkeyPatch, process: PublishingThreads, options: dict[str, object]
) -> None:
    """The first `defer()` raises with the solution, instead of waiting for a thread that never runs."""
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
