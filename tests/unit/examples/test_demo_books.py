"""The demo's books: that it can tell a run which lost nothing from one which did."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.brokers.contract import Decisions
from bridge.ledger import Dead, Entry, Letter
from examples.demo.accounts import Tally, tally
from examples.demo.processes import DemoFailed, Processes
from examples.webhooks.database import SCHEMA


class Dying:
    """A ledger of one dead letter an event id."""

    def __init__(self, *event_ids: str) -> None:
        self._event_ids = event_ids

    async def entries(self) -> AsyncIterator[Entry]:
        for number, event_id in enumerate(self._event_ids):
            yield Dead(number, datetime.now(UTC), "default", "not retried", event_id, "hook.push", "E", "why", 1)

    async def letter(self, number: int) -> Letter | None:
        raise NotImplementedError

    def deciding(self) -> AbstractAsyncContextManager[Decisions]:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The app's database: `a` was delivered at the first attempt and `b` at the third."""
    path = tmp_path / "inbox.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO forwarded VALUES (?, ?)", [("a", 1), ("b", 3)])
        connection.execute("INSERT INTO digests VALUES ('a', 'hook.push', 'octo/hello', '', 100.0, 100.25)")
    return path


def count(database: Path, deferred: list[str], *dead: str) -> Tally:
    return asyncio.run(tally(deferred, database, Dying(*dead)))


def test_the_books_balance_when_each_event_ended_once(database: Path) -> None:
    """Delivered, delivered late and dead-lettered together are all that was deferred."""
    result = count(database, ["a", "b", "c"], "c")

    assert (result.first_try, result.after_retries, result.dead, result.unaccounted) == (1, 1, {"not retried": 1}, 0)
    assert result.balances


def test_an_event_that_is_nowhere_is_unaccounted_for(database: Path) -> None:
    """What a 202 promised and neither the app nor the ledger knows is lost."""
    result = count(database, ["a", "b", "c"])

    assert result.unaccounted == 1
    assert not result.balances


def test_an_event_that_ended_twice_is_no_balance(database: Path) -> None:
    """Delivered and dead-lettered as well: one of them is wrong."""
    result = count(database, ["a", "b"], "b")

    assert result.twice == 1
    assert not result.balances


def test_what_others_deferred_does_not_count(database: Path) -> None:
    """Only the events of this run are in the books, whatever else is in the database and the ledger."""
    result = count(database, ["a"], "of another run")

    assert (result.deferred, result.delivered, result.dead) == (1, 1, {})
    assert result.balances


def test_latency_is_from_defer_to_digest(database: Path) -> None:
    """The time that the event was deferred and the time that its first listener ran are the app's own records."""
    assert count(database, ["a", "b"]).latency(0.5) == 0.25


def test_a_process_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    """The demo does not wait for what can no longer come."""
    processes = Processes(tmp_path, {})
    processes.start("web", [sys.executable, "-c", "raise SystemExit('no such app')"], tmp_path)

    with pytest.raises(DemoFailed, match=r"web ended with exit code 1; its log ends:\nno such app"):
        while True:
            processes.check()
            time.sleep(0.01)


def test_nothing_is_left_running(tmp_path: Path) -> None:
    """After `stop_all()` the processes are gone, and a second call has nothing to do."""
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
