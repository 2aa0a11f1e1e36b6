"""The broker under test: each contract test runs once on SQLite and once on RabbitMQ."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker

if TYPE_CHECKING:
    from tests.contract.moving import Moving
    from tests.contract.rabbitmq_namespaces import Namespaces
    from tests.contract.rabbitmq_site import RabbitSite
    from tests.contract.sqlite_site import SqliteSite


class Site(Protocol):
    """The broker of one test as it is seen from outside: changes that are made without the bridge's own broker
    object."""

    url: str
    namespace: str

    async def drop_queue(self, name: str) -> None:
        """Delete a queue with all its events, as an operator would."""

    async def put_raw(self, queue: str, name: str, head: str, data: bytes) -> None:
        """Put a message into one queue as another version of this program would: an event's name, any text instead of
        the envelope's head, and data."""

    async def append_raw(self, log: str, data: bytes) -> None:
        """Append any data to an existing log."""

    async def drop_log(self, log: str) -> None:
        """Delete a log with all its records."""

    async def broadcast_raw(self, subject: str, data: bytes) -> None:
        """Send any data to all listeners."""


class OpenBroker(Protocol):
    """Opens the broker once more, as another process would."""

    def __call__(self, namespace: str = "") -> Broker:
        """Open the broker in this namespace, by default the site's."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep local indexes in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def namespaces(rabbitmq_url: str) -> "Iterator[Namespaces]":
    """The namespaces on RabbitMQ."""
    from tests.contract.rabbitmq_namespaces import Namespaces

    namespaces = Namespaces(rabbitmq_url)
    yield namespaces
    namespaces.remove()


@pytest.fixture
def rabbit_site(rabbitmq_url: str, namespaces: "Namespaces") -> "Iterator[RabbitSite]":
    """An empty namespace on RabbitMQ that no other test uses at the same time."""
    from tests.contract.rabbitmq_site import RabbitSite

    with namespaces.lent() as namespace:
        yield RabbitSite(rabbitmq_url, namespace)


@pytest.fixture
def sqlite_site(tmp_path: Path) -> "SqliteSite":
    """An SQLite file of the test's own."""
    from tests.contract.sqlite_site import SqliteSite

    return SqliteSite(f"sqlite:///{tmp_path}/bridge.db")


@pytest.fixture(params=["sqlite", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def site(request: pytest.FixtureRequest) -> Site:
    """An empty broker that no other test uses."""
    site: Site = request.getfixturevalue("sqlite_site" if request.param == "sqlite" else "rabbit_site")
    return site


@pytest.fixture
async def another_broker(site: Site) -> AsyncIterator[OpenBroker]:
    """Opens brokers on the site; all are closed after the test."""
    opened: list[Broker] = []

    def open_another(namespace: str = "") -> Broker:
        opened.append(open_broker(site.url, namespace or site.namespace))
        return opened[-1]

    yield open_another
    for broker in opened:
        await broker.close()


@pytest.fixture
async def broker(another_broker: OpenBroker) -> Broker:
    """A broker as one process uses it."""
    return another_broker()


@pytest.fixture
async def moving(site: Site, tmp_path: Path, another_broker: OpenBroker) -> "AsyncIterator[Moving]":
    """A move of an SQLite file to the site."""
    from tests.contract.moving import a_move

    move = await a_move(site.url, site.namespace, tmp_path, another_broker)
    yield move
    await move.old.close()


@pytest.fixture
async def alone(site: Site, tmp_path: Path, another_broker: OpenBroker) -> "AsyncIterator[Moving]":
    """A move of an SQLite file to a namespace whose logs no other test writes to."""
    from tests.contract.moving import a_move

    move = await a_move(site.url, f"t{uuid.uuid4().hex[:10]}", tmp_path, another_broker)
    yield move
    await move.old.close()
