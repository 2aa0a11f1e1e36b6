"""Examines the embedded broker's file and what a site has in it. It makes no file, and writes no row."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bridge.brokers.examining import Place
from bridge.brokers.sqlite.broker import path_of
from bridge.brokers.sqlite.contents import contents
from bridge.brokers.sqlite.file_system import place
from bridge.brokers.sqlite.schema import VERSION, Schema
from bridge.findings import Examination, Finding, ok, unknown, wrong

WRITE_WITHIN = 2.0
CHECKED_WITHIN = 10.0
_STEPS = 10_000


async def examine_sqlite(where: Place) -> Examination:
    """Say how the file and what the site has in it stand. Raise `SettingsError` for a URL that cannot be."""
    path = path_of(where.url)
    if not path.is_file():
        step = "start the app or bridge-worker, which make it; or correct broker_url, --config or the working directory"
        return Examination(False, [wrong("broker", f"there is no file {path}", step)])
    return await asyncio.to_thread(_examined, path, where)


def _examined(path: Path, where: Place) -> Examination:
    findings = place(path)
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=WRITE_WITHIN)) as connection:
            connection.isolation_level = None
            return Examination(
                True, [_opened(connection, path), *findings, *_file(connection, path), *_site(connection, path, where)]
            )
    except sqlite3.Error as error:
        step = f"see who uses it: fuser -v {path}; where nobody does, restore it, or: sqlite3 {path} .recover"
        return Examination(False, [wrong("broker", f"SQLite database {path}: {error}", step), *findings])


def _opened(connection: sqlite3.Connection, path: Path) -> Finding:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    sentence = f"SQLite {sqlite3.sqlite_version}, {path}, journal mode {mode}"
    if mode == "wal":
        return ok("broker", sentence)
    return wrong("broker", f"{sentence}: expected wal", f"sqlite3 {path} 'PRAGMA journal_mode = WAL'")


def _file(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    """Look whether the file is whole, and whether it can be written now."""
    until = time.monotonic() + CHECKED_WITHIN
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        yield unknown(
            "file", f"it was not checked in {CHECKED_WITHIN:g} s: {error}", f"sqlite3 {path} 'PRAGMA quick_check'"
        )
    else:
        recover = f"stop the programs; sqlite3 {path} .recover | sqlite3 recovered.db"
        yield ok("file", "it is whole") if said == "ok" else wrong("file", f"it is damaged: {said}", recover)
    finally:
        connection.set_progress_handler(None, 0)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        step = f"see who writes: fuser -v {path}"
        yield wrong("writing", f"it cannot be written, tried for {WRITE_WITHIN:g} s: {error}", step)
    else:
        yield ok("writing", "it takes writes")


def _site(connection: sqlite3.Connection, path: Path, where: Place) -> Iterator[Finding]:
    """Look at what the site has in the file."""
    schema = Schema(where.namespace)
    version = schema.version_in(connection)
    if version is None:
        step = "start the app or bridge-worker, which make them; or correct namespace"
        yield wrong("topology", f"there are no tables of namespace '{where.namespace}'", step)
    elif version != VERSION:
        step = "run the programs of one version, and this one"
        yield wrong("topology", f"its tables are of version {version}, this program knows {VERSION}", step)
    else:
        yield from contents(connection, path, schema, where.queues)
