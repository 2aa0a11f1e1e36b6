"""The broker under test: each test of this folder runs once on SQLite and once on RabbitMQ."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from bridge.brokers.contract import Broker
from bridge.brokers.opening import open_broker

if TYPE_CHECKING:
    from tests.contract.rabbitmq_namespaces import Namespaces
    from tests.contract.rabbitmq_site import RabbitSite
    from tests.contract.sqlite_site import SqliteSite


class Site(Protocol):
    """A broker of a test's own: what a test may do to it from outside, with no broker object of ours."""

    url: str
    namespace: str

    async def drop_queue(self, name: str) -> None:
        """Take a queue away with all that is in it, as an operator would."""

    async def put_raw(self, queue: str, name: str, head: str, data: bytes) -> None:
        """Put a message into one queue as another version of this program would: an event's name, any text where the
        envelope's head belongs, and data."""


class OpenBroker(Protocol):
    """Opens the broker once more, as another process would."""

    def __call__(self, namespace: str = "") -> Broker:
        """Open it, in the site's namespace unless another is named."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local indexes of ledgers go where the test's other files go."""
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
    """An empty namespace on RabbitMQ that no other test uses meanwhile."""
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
    """Opens brokers on the site; all are closed in the end."""
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
