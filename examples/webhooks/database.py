"""The inbox's own database: one connection for each request, and four tables."""

import sqlite3

from flask import Flask, current_app, g

SCHEMA = """
PRAGMA journal_mode = WAL;

CREATE TABLE IF NOT EXISTS repositories (
    name TEXT PRIMARY KEY,
    first_heard REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS webhooks (
    id TEXT PRIMARY KEY,
    event_id TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS digests (
    event_id TEXT PRIMARY KEY,
    event_name TEXT NOT NULL,
    repository TEXT NOT NULL REFERENCES repositories (name),
    sha256 TEXT NOT NULL,
    deferred REAL NOT NULL,
    digested REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS forwarded (
    event_id TEXT PRIMARY KEY,
    attempt INTEGER NOT NULL
);
"""


def init_app(app: Flask) -> None:
    """Close the connection after each request, and add the command that creates the tables."""
    app.teardown_appcontext(_close)
    app.cli.command("init-database", help="Create the missing tables.")(create_tables)


def create_tables() -> None:
    """Create the missing tables."""
    database().executescript(SCHEMA)


def database() -> sqlite3.Connection:
    """Return this request's connection. `with database() as rows:` commits at its end, or rolls back after an error."""
    if "database" not in g:
        g.database = sqlite3.connect(current_app.config["DATABASE"], timeout=10)
        g.database.execute("PRAGMA foreign_keys = ON")
        g.database.execute("PRAGMA synchronous = NORMAL")
    connection: sqlite3.Connection = g.database
    return connection


def _close(_error: BaseException | None) -> None:
    if connection := g.pop("database", None):
        connection.close()
