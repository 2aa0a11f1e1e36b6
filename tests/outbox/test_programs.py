"""The outbox with the real programs: what is committed is done exactly once, whatever is killed."""

import asyncio
import os
import shutil
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, func, select
from sqlalchemy.orm import Session

from app_adapter.outgoing import Outgoing
from app_adapter.sqlalchemy.outbox import write
from bridge.publishing.outbox.tables import tables
from tests.database_server import DatabaseServer
from tests.journey.site import Program, Site, eventually
from tests.outbox.counting import Effect
from tests.unit.bridge.publishing.doubles import an_event

pytestmark = pytest.mark.rabbitmq

EVENTS = 600
SETTINGS = """
retry = {{attempts = 100, initial = '200ms', base = 1, jitter = 0}}
[stores.shop]
url = "{url}"
"""


@pytest.fixture
def site(rabbitmq_url: str, tmp_path: Path) -> Iterator[Site]:
    """A site on RabbitMQ with the counting app."""
    site = Site(tmp_path, rabbitmq_url, f"o{uuid.uuid4().hex[:10]}")
    shutil.copy(Path(__file__).with_name("counting.py"), tmp_path)
    yield site
    site.remove()


@pytest.fixture
def database(kind: str, url: str, site: Site) -> Engine:
    """The database of the site, with the tables of the app and of the outbox."""
    site.configure(SETTINGS.format(url=url))
    site.environment["DATABASE"] = url
    engine = create_engine(url, poolclass=NullPool)
    Effect.metadata.create_all(engine)
    tables(site.namespace).metadata.create_all(engine)
    return engine


def commit(engine: Engine, site: Site, numbers: range) -> None:
    """Commit an `order.paid` for each number, as a web process does."""
    with Session(engine) as session:
        write(session, site.namespace, [Outgoing(an_event(number)) for number in numbers])
        session.commit()


def effects(engine: Engine) -> int:
    """Return the number of committed effects."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(Effect)).scalar_one()


async def hurt(site: Site, relay: Program, worker: Program, server: DatabaseServer, engine: Engine) -> None:
    """Kill the relay, the children, the worker and the database, each while events run. Two relays take over."""
    await at_least(engine, EVENTS // 4)
    relay.signal(signal.SIGKILL)
    site.run("bridge-relay")
    site.run("bridge-relay")
    await at_least(engine, EVENTS // 2)
    for child in worker.children:
        os.kill(child, signal.SIGKILL)
    await at_least(engine, EVENTS)
    worker.signal(signal.SIGKILL)
    site.worker(app="counting:app")
    await at_least(engine, 3 * EVENTS // 2)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)


async def at_least(engine: Engine, number: int) -> None:
    """Wait until this many effects are committed."""
    await eventually(lambda: effects(engine) >= number, report=lambda: f"{effects(engine)} effects of {number}")


@pytest.mark.databases("postgres", pytest.param("mariadb", marks=pytest.mark.long))
async def test_effects_happen_exactly_once(
    site: Site, database: Engine, kind: str, request: pytest.FixtureRequest
) -> None:
    """Of each committed event, and of each event that its listener defers, through kills of everything but the
    broker."""
    server: DatabaseServer = request.getfixturevalue(kind)
    relay, worker = site.run("bridge-relay"), site.worker(app="counting:app")
    for first in range(0, EVENTS, 100):
        commit(database, site, range(first, first + 100))

    await hurt(site, relay, worker, server, database)
    commit(database, site, range(EVENTS, EVENTS + 1))
    await at_least(database, 2 * (EVENTS + 1))
    with Session(database) as session:
        found = Counter(
            (listener, number) for listener, number in session.execute(select(Effect.listener, Effect.number))
        )

    assert found == Counter((listener, number) for listener in ("pay", "mail") for number in range(EVENTS + 1))
    assert await site.letters() == []
