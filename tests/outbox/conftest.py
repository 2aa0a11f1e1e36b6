"""Fixtures: a database with the tables of the outbox, on each kind of server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.orm import Session

from app_adapter import DeferredEvents
from bridge.publishing.outbox.tables import tables
from tests.database_server import DatabaseServer, MariaDB, Postgres, sqlite_database
from tests.outbox.models import Base

SERVERS = ("postgres", "mariadb")
KINDS = (*SERVERS, "sqlite")


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseServer]:
    """A PostgreSQL server of this test process. A test that breaks it leaves it running."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    """A MariaDB server of this test process. A test that breaks it leaves it running."""
    with MariaDB() as server:
        yield server


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Any:
    """The kind of the database: `postgres`, `mariadb` or `sqlite`. Parametrise it indirectly to choose."""
    return request.param


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database of this kind."""
    if kind == "sqlite":
        with sqlite_database() as of_file:
            yield of_file
    else:
        server: DatabaseServer = request.getfixturevalue(kind)
        yield server.new_database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine on a database with the tables of the outbox."""
    made = create_engine(url, poolclass=NullPool)
    tables("bridge").metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def app() -> Iterator[Flask]:
    """An app with events, in its context. What the extensions of other tests track does not concern it."""
    app = Flask("shop")
    DeferredEvents(app)
    with app.app_context():
        yield app


@pytest.fixture
def events(app: Flask) -> DeferredEvents:
    """The events of the app."""
    events: DeferredEvents = app.extensions["deferred_events"].events
    return events


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on a database with the app's tables."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session


@pytest.fixture
def store(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a bridge.toml that has the database as its store."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bridge.toml").write_text(f'[stores.shop]\nurl = "{url}"\n')
    return tmp_path


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with a database on every kind, unless it chooses kinds itself."""
    chosen = metafunc.definition.get_closest_marker("databases")
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", KINDS if chosen is None else chosen.args, indirect=True)
