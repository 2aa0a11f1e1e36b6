"""Installs triggers as users do, and reads the events that they write."""

import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import Engine, make_url, select, text

from app_adapter import DeferredEvents, outbox_cli
from app_adapter.deferred_models.change import Change
from bridge.publishing.outbox.tables import tables
from bridge.publishing.stores import StoredEvent

OUTBOX = tables("bridge").outbox


def run(*words: str) -> Result:
    """Run bridge-outbox trigger with these arguments."""
    return CliRunner().invoke(outbox_cli.main, ["trigger", *words])


def install(engine: Engine, *words: str) -> str:
    """Run what the program prints in a client of the database; return it."""
    printed = run(*words)
    assert printed.exit_code == 0, printed.output
    by_client(engine, printed.stdout)
    return printed.stdout


def by_client(engine: Engine, script: str) -> None:
    """Run a script as users do: with psql, or SQLite's own reader of scripts; on MariaDB by its driver."""
    url = make_url(str(engine.url))
    match engine.dialect.name:
        case "sqlite":
            with closing(sqlite3.connect(str(url.database))) as connection:
                connection.executescript(script)
        case "postgresql":
            where = ["-h", str(url.host), "-p", str(url.port), "-U", str(url.username), str(url.database)]
            command = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", *where]
            done = subprocess.run(command, input=script.encode(), capture_output=True, check=False)
            assert done.returncode == 0, done.stderr.decode()
        case _:
            raw(engine, *(each.replace("%", "%%") for each in script.split(";\n") if each.strip()))


def execute(engine: Engine, *statements: str, **values: Any) -> None:
    """Run statements in a transaction."""
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), values)


def raw(engine: Engine, *statements: str) -> None:
    """Run statements without parameters in a transaction."""
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def committed(engine: Engine) -> list[tuple[Any, Change]]:
    """Return the events in the outbox as a relay reads them, and the change that a listener reads of each."""
    app, found = Flask("shop"), []
    events = DeferredEvents(app)
    with engine.connect() as connection, app.app_context():
        for row in connection.execute(select(OUTBOX).order_by(OUTBOX.c.number)):
            event, due = StoredEvent(row.number, row.head, row.data).read()
            assert due is None
            assert event.handling.key == row.event_key
            assert event.name == row.name
            assert abs(event.time - datetime.now(UTC)) < timedelta(minutes=5)
            found.append((event, events.change(event)))  # type: ignore[arg-type]  # it reads name and data
    return found


def changes(engine: Engine) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return of each event in the outbox its name, the identity and the changed values."""
    return [(event.name, change.identity, change.changed) for event, change in committed(engine)]
