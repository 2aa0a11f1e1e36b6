"""The demo's tally: it tells a run that lost an event from one that did not."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.brokers.contract.ledger import BEFORE_ALL, Decisions
from bridge.errors import UnreadableEnvelope
from bridge.ledger import Dead, Entry, Letter
from examples.demo.accounts import Tally, tally
from examples.demo.processes import DemoFailed, Processes
from examples.webhooks.database import SCHEMA


class Dying:
    """A ledger with one dead letter for each event id."""

    def __init__(self, *event_ids: str) -> None:
        self._event_ids = event_ids

    async def entries(self, after: int = BEFORE_ALL) -> AsyncIterator[Entry]:
        for number, event_id in enumerate(self._event_ids):
            yield Dead(number, datetime.now(UTC), "default", "not retried", event_id, "hook.push", "E", "why", 1)

    def entries_back(self) -> AsyncGenerator[Entry, None]:
        raise NotImplementedError

    async def letter(self, number: int) -> Letter | None:
        raise NotImplementedError

    def letters(self, numbers: Iterable[int]) -> AsyncGenerator[Letter | UnreadableEnvelope | None, None]:
        raise NotImplementedError

    async def add(self, letter: Letter) -> None:
        raise NotImplementedError

    def deciding(self) -> AbstractAsyncContextManager[Decisions]:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the app's database: `a` was delivered at the first attempt and `b` at the third."""
    path = tmp_path / "inbox.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO forwarded VALUES (?, ?)", [("a", 1), ("b", 3)])
        connection.execute("INSERT INTO digests VALUES ('a', 'hook.push', 'octo/hello', '', 100.0, 100.25)")
    return path


def count(database: Path, deferred: list[str], *dead: str) -> Tally:
    return asyncio.run(tally(deferred, database, Dying(*dead)))


def test_the_tally_balances_if_each_event_ended_once(database: Path) -> None:
    """The delivered and dead-lettered events together are all deferred events."""
    result = count(database, ["a", "b", "c"], "c")

    assert (result.first_try, result.after_retries, result.dead, result.unaccounted) == (1, 1, {"not retried": 1}, 0)
    assert result.balances


def test_an_event_that_is_nowhere_is_unaccounted_for(database: Path) -> None:
    """A 202 promised it, and neither the app nor the ledger has it: it is lost."""
    result = count(database, ["a", "b", "c"])

    assert result.unaccounted == 1
    assert not result.balances


def test_an_event_that_ended_twice_is_no_balance(database: Path) -> None:
    """The event was delivered and dead-lettered, and one of them is wrong."""
    result = count(database, ["a", "b"], "b")

    assert result.twice == 1
    assert not result.balances


def test_events_of_other_runs_do_not_count(database: Path) -> None:
    """The database and the ledger may have more events."""
    result = count(database, ["a"], "of another run")

    assert (result.deferred, result.delivered, result.dead) == (1, 1, {})
    assert result.balances


def test_latency_is_from_defer_to_digest(database: Path) -> None:
    """Both times are the app's own records: of the defer, and of the first listener."""
    assert count(database, ["a", "b"]).latency(0.5) == 0.25


def test_a_process_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    """The demo does not go on waiting."""
    processes = Processes(tmp_path, {})
    processes.start("web", [sys.executable, "-c", "raise SystemExit('no such app')"], tmp_path)

    with pytest.raises(DemoFailed, match=r"web ended with exit code 1; its log ends with:\nno such app"):
        while True:
            processes.check()
            time.sleep(0.01)


def test_no_process_is_left_running(tmp_path: Path) -> None:
    """After `stop_all()` the processes have ended. A second call does nothing."""
    processes = Processes(tmp_path, {})
    processes.start(
        "service", [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(99)"], tmp_path
    )
    log = tmp_path / "service.log"
    while not log.read_text().strip():
        time.sleep(0.01)

    processes.stop_all()
    processes.stop_all()

    assert not Path(f"/proc/{log.read_text().strip()}").exists()
