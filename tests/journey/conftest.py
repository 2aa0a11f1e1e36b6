"""A site for each test, once on SQLite and once on RabbitMQ."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journey.pool_site import PoolSite, pool_site
from tests.journey.site import Site

BROKERS = ["sqlite", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]


def make_site(request: pytest.FixtureRequest, directory: Path) -> Site:
    """A site on the broker that the fixture is run for."""
    if request.param == "sqlite":
        return Site(directory, f"sqlite:///{directory}/bridge.db", "bridge")
    return Site(directory, request.getfixturevalue("rabbitmq_url"), f"j{uuid.uuid4().hex[:10]}")


@pytest.fixture(params=BROKERS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own."""
    site = make_site(request, tmp_path)
    yield site
    site.remove()


@pytest.fixture
def pool(site: Site) -> Iterator[PoolSite]:
    """The site, to try its workers' pools."""
    with pool_site(site) as pool:
        yield pool
