"""The summary of a spool for programs that only read it."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.config.settings import load_settings
from bridge.errors import BrokerRefused, BrokerUnavailable
from bridge.publishing.spool.spool_file import SpoolFile, spool_file
from bridge.publishing.spool.store import Store
from bridge.publishing.spool.summary import Spooled, spooled
from tests.deadlines import within
from tests.limits import PATIENCE
from tests.unit.bridge.publishing.doubles import a_spool, an_event


async def left_behind(file: SpoolFile) -> None:
    """Leave an event in the spool."""
    store = Store(file)
    await store.add(an_event(), None, within(PATIENCE))
    await store.close()


async def test_it_counts_events_and_bytes_and_names_the_oldest(tmp_path: Path) -> None:
    """The count is right while a process writes, and when no process does."""
    file, store, first = a_spool(tmp_path), Store(a_spool(tmp_path)), an_event()

    await store.add(first, first.time + timedelta(days=1), within(PATIENCE))
    await store.add(an_event(), None, within(PATIENCE))
    meanwhile = spooled(file.path, "bridge")
    await store.close()

    assert (meanwhile.events, meanwhile.oldest) == (2, first.time)
    assert 0 < meanwhile.bytes < 1024**2
    assert spooled(file.path, "bridge") == meanwhile


def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """The file is not made."""
    assert spooled(tmp_path / "spool.db", "bridge") == Spooled(0, None, 0)
    assert list(tmp_path.iterdir()) == []


def test_reading_makes_no_files(tmp_path: Path) -> None:
    """There is no new file next to the spool."""
    file = a_spool(tmp_path)
    asyncio.run(left_behind(file))

    spooled(file.path, "bridge")

    assert list(tmp_path.iterdir()) == [file.path]


async def test_another_namespace_has_no_events(tmp_path: Path) -> None:
    """The file is there, and has no events of that namespace."""
    file = a_spool(tmp_path)

    await left_behind(file)

    assert spooled(file.path, "other").events == 0


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """The error names the file and quotes SQLite."""
    path = tmp_path / "spool.db"
    path.write_text("not a database" * 100)

    with pytest.raises(BrokerUnavailable, match=r"spool\.db: file is not a database"):
        spooled(path, "bridge")


def test_a_spool_of_another_version_is_refused(tmp_path: Path) -> None:
    """This program cannot know the meaning of its tables."""
    path = tmp_path / "spool.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('CREATE TABLE "bridge.spool.version" (version INTEGER)')
        connection.execute('INSERT INTO "bridge.spool.version" VALUES (99)')

    with pytest.raises(BrokerRefused, match="version 99"):
        spooled(path, "bridge")


def test_the_spool_is_next_to_the_settings_file(tmp_path: Path) -> None:
    """A relative path is relative to the folder of `bridge.toml`, like the path of an SQLite broker."""
    config = tmp_path / "bridge.toml"
    config.write_text("broker_url = 'amqp://localhost/'\nnamespace = 'shop'\nspool_limit = '5MiB'\n")

    file = spool_file(load_settings(file=str(config), environ={}))

    assert file is not None
    assert (file.path, file.limit, file.namespace) == (tmp_path / "bridge-spool.db", 5 * 1024**2, "shop")


def test_a_broker_that_is_a_file_needs_no_spool() -> None:
    """There is none, whatever `publish` says."""
    assert spool_file(load_settings(command_line={"publish": "spool"}, environ={})) is None
