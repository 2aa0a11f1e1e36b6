"""SQLite only: the database thread and its group commit."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from bridge.brokers.sqlite.queues.schema import Schema
from bridge.errors import BrokerUnavailable, Unroutable
from bridge.local_database.database import Database
from tests.contract.acts import eventually
from tests.limits import PATIENCE


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A database with a table of names, and a trigger that refuses one name."""
    database = Database(tmp_path / "bridge.db", Schema("bridge"))
    await database.run(lambda connection: connection.execute("CREATE TABLE name (name TEXT CHECK (name != 'bad'))"))
    yield database
    await database.close()


def adding(name: str) -> Callable[[sqlite3.Connection], None]:
    """Return an operation that adds a name."""

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO name VALUES (?)", (name,))

    return work


async def names(database: Database) -> list[str]:
    """Return all committed names."""
    return await database.run(
        lambda connection: [name for (name,) in connection.execute("SELECT name FROM name ORDER BY rowid")],
        writes=False,
    )


async def test_pending_operations_share_a_transaction(database: Database) -> None:
    """Operations that are submitted together are committed together: no reader sees only some of them."""
    seen: list[int] = []

    def look(_: sqlite3.Connection) -> None:
        with closing(sqlite3.connect(database.path)) as other:
            seen.append(other.execute("SELECT count(*) FROM name").fetchone()[0])

    await asyncio.gather(*(database.run(work) for work in (adding("a"), look, adding("b"), look)))

    assert seen == [0, 0]
    assert await names(database) == ["a", "b"]


async def test_refusal_spoils_no_neighbour(database: Database) -> None:
    """An operation that raises before it writes fails alone, and the others are committed."""

    def refuse(_: sqlite3.Connection) -> None:
        raise Unroutable("no queue")

    results = await asyncio.gather(
        database.run(adding("a")), database.run(refuse), database.run(adding("b")), return_exceptions=True
    )

    assert isinstance(results[1], Unroutable)
    assert await names(database) == ["a", "b"]


@pytest.mark.parametrize("failing", [adding("bad"), lambda connection: 1 / 0], ids=["refused by SQLite", "a defect"])
async def test_failure_spoils_no_neighbour(database: Database, failing: Callable[[sqlite3.Connection], object]) -> None:
    """An operation that fails after a write leaves no change, and the others are committed once."""

    def half(connection: sqlite3.Connection) -> object:
        connection.execute("INSERT INTO name VALUES ('half')")
        return failing(connection)

    results = await asyncio.gather(
        database.run(adding("a")), database.run(half), database.run(adding("b")), return_exceptions=True
    )

    assert isinstance(results[1], BrokerUnavailable | ZeroDivisionError)
    assert [results[0], results[2]] == [None, None]
    assert await names(database) == ["a", "b"]


async def test_synced_if_anything_is_durable(database: Database) -> None:
    """A transaction is synced unless nothing in it must survive a power cut; the next one is synced again."""

    def synchronous(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO name VALUES ('a')")
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])

    full, normal = 2, 1
    assert await database.run(synchronous, durable=False) == normal
    assert await database.run(synchronous) == full
    mixed = await asyncio.gather(*(database.run(synchronous, durable=durable) for durable in (False, True, False)))
    assert mixed == [full] * 3
    assert await database.run(synchronous, durable=False) == normal


async def test_withdrawn(database: Database) -> None:
    """An operation that is cancelled before it begins does not run; the others of its transaction do."""
    first, second = (asyncio.create_task(database.run(adding(name))) for name in ("a", "b"))
    await asyncio.sleep(0)

    first.cancel()

    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await names(database) == ["b"]


async def test_withdrawn_while_the_file_is_busy(database: Database) -> None:
    """An operation that waits for a busy file can be withdrawn."""
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        operation = database.submit(adding("a"))
        done, _ = await asyncio.wait({operation.future}, timeout=0.3)
        assert not done

        assert operation.withdraw()

        other.execute("ROLLBACK")
    await database.run(adding("b"))
    assert await names(database) == ["b"]


async def test_done_cannot_be_withdrawn(database: Database) -> None:
    """An operation that has begun cannot be withdrawn."""
    operation = database.submit(adding("a"))
    await operation.future

    assert not operation.withdraw()


async def test_watchers_hear_of_others_alone(database: Database) -> None:
    """A watcher is called for commits of other connections, not for this one's."""
    told: list[str] = []
    await names(database)
    database.watch(lambda: told.append("changed"))

    async def counted() -> int:
        return len(told)

    await eventually(counted, lambda count: count == 1)  # the first check; an earlier commit may be missed
    for name in ("a", "b", "c"):
        await database.run(adding(name))
    assert len(told) == 1
    with closing(sqlite3.connect(database.path)) as other, other:
        other.execute("INSERT INTO name VALUES ('other')")

    await eventually(counted, lambda count: count == 2)


async def test_closed(database: Database) -> None:
    """After `close`, an operation raises an error that says so; closing again does nothing."""
    await database.close()
    await database.close()

    with pytest.raises(BrokerUnavailable, match="closed"):
        await database.run(adding("a"))


async def test_closed_unused(tmp_path: Path) -> None:
    """A database that was never used closes at once, and creates no file."""
    database = Database(tmp_path / "bridge.db", Schema("bridge"))

    async with asyncio.timeout(PATIENCE):
        await database.close()

    assert not database.path.exists()


async def test_submitted_before_close_is_done(database: Database) -> None:
    """`close` first does the submitted operations."""
    adding_a = asyncio.create_task(database.run(adding("a")))
    await asyncio.sleep(0)

    await database.close()

    await adding_a
    with closing(sqlite3.connect(database.path)) as connection:
        assert connection.execute("SELECT name FROM name").fetchall() == [("a",)]


async def test_a_file_that_cannot_be_looked_at_fails_an_operation_and_no_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the directory cannot be entered for a while, the present operation raises, and the next one succeeds."""

    def closed(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("bridge.local_database.database.file_at", closed)
        with pytest.raises(BrokerUnavailable, match="Permission denied"):
            await asyncio.wait_for(database.run(adding("lost")), PATIENCE)

    await database.run(adding("kept"))
    assert await names(database) == ["kept"]


async def test_a_process_that_ends_does_not_wait_for_who_keeps_the_file(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program holds a transaction open, operations of a process that ends fail after a moment."""
    monkeypatch.setattr("bridge.local_database.database.HURRIED", 0.1)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        database.hurry()
        with pytest.raises(BrokerUnavailable, match="locked"):
            await asyncio.wait_for(database.run(adding("late")), PATIENCE)
