"""Examines the embedded broker's file and a site's contents in it. Creates no file, and writes no row."""

import asyncio
import shlex
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bridge.brokers.contract.findings import Finding, ok, unknown, wrong
from bridge.brokers.contract.inspection import Examination, SiteOnBroker
from bridge.brokers.sqlite.broker import path_of
from bridge.brokers.sqlite.inspection.contents_findings import contents
from bridge.brokers.sqlite.inspection.file_findings import place_findings, refused, size
from bridge.brokers.sqlite.inspection.journal_findings import journal
from bridge.brokers.sqlite.queues.schema import VERSION, Schema
from bridge.errors import BrokerRefused
from bridge.local_database.one_name import check_one_name

WRITE_WITHIN = 2.0
CHECKED_WITHIN = 10.0
_STEPS = 10_000


async def inspect_sqlite(site: SiteOnBroker) -> Examination:
    """Examine the file and the site's contents in it. Raise `SettingsError` for an invalid URL."""
    path = path_of(site.url)
    if findings := refused(path):
        return Examination(False, findings)
    if not path.is_file():
        step = "start the app or bridge-worker to create it; or correct broker_url, --config or the working directory"
        return Examination(False, [wrong("broker", f"there is no file {path}", step)])
    return await asyncio.to_thread(_examined, path, site)


def _examined(path: Path, site: SiteOnBroker) -> Examination:
    findings, file = place_findings(path), shlex.quote(str(path))
    try:
        check_one_name(path)
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=WRITE_WITHIN)) as connection:
            connection.isolation_level = None
            of_file = [
                *(_opened(connection, path), *findings, *_file(connection, path), *journal(connection, path)),
                *size(path, *_pages(connection)),
            ]
            return Examination(True, [*of_file, *_site(connection, path, site)])
    except BrokerRefused as error:
        return Examination(False, [wrong("broker", str(error), "give the file one name"), *findings])
    except sqlite3.Error as error:
        step = f"see which processes use it: fuser -v {file}; if none does, restore it, or: sqlite3 {file} .recover"
        return Examination(False, [wrong("broker", f"SQLite database {path}: {error}", step), *findings])


def _opened(connection: sqlite3.Connection, path: Path) -> Finding:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    sentence = f"SQLite {sqlite3.sqlite_version}, {path}, journal mode {mode}"
    if mode == "wal":
        return ok("broker", sentence)
    return wrong("broker", f"{sentence}: expected wal", shlex.join(["sqlite3", str(path), "PRAGMA journal_mode = WAL"]))


def _pages(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the bytes of the file's pages, and the bytes of those that are free."""
    pages, free, page = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return pages * page, free * page


def _file(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    """Judge whether the file is intact, and whether it can be written now."""
    file = shlex.quote(str(path))
    until = time.monotonic() + CHECKED_WITHIN
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        yield unknown(
            "file",
            f"it was not checked in {CHECKED_WITHIN:g} s: {error}",
            f"sqlite3 {file} 'PRAGMA quick_check'",
        )
    else:
        recover = f"stop the programs; sqlite3 {file} .recover | sqlite3 recovered.db"
        yield ok("file", "it is intact") if result == "ok" else wrong("file", f"it is damaged: {result}", recover)
    finally:
        connection.set_progress_handler(None, 0)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        step = f"see which processes use it: fuser -v {file}"
        yield wrong("writing", f"it cannot be written, tried for {WRITE_WITHIN:g} s: {error}", step)
    else:
        yield ok("writing", "it takes writes")


def _site(connection: sqlite3.Connection, path: Path, site: SiteOnBroker) -> Iterator[Finding]:
    """Judge the site's tables and their contents."""
    schema = Schema(site.namespace)
    version = schema.version_in(connection)
    if version is None:
        step = "start the app or bridge-worker to create them; or correct namespace"
        yield wrong("topology", f"there are no tables of namespace '{site.namespace}'", step)
    elif version != VERSION:
        step = "use the same version for all programs, including this one"
        yield wrong("topology", f"its tables are of version {version}, this program knows {VERSION}", step)
    else:
        yield from contents(connection, path, schema, site)
