"""A site for each test, once on SQLite and once on RabbitMQ or on one of them alone; and what else it is to have."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journey.php_fpm import PhpFpm, Pools
from tests.journey.pool_site import PoolSite, pool_site
from tests.journey.site import Site, site_on, site_on_sqlite
from tests.rabbitmq_node import RabbitNode

BROKERS = ["sqlite", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]


def make_site(request: pytest.FixtureRequest, directory: Path) -> Site:
    """A site on the broker that the fixture is run for."""
    if request.param == "sqlite":
        return site_on_sqlite(directory)
    return Site(directory, request.getfixturevalue("rabbitmq_url"), f"j{uuid.uuid4().hex[:10]}")


@pytest.fixture(params=BROKERS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own."""
    site = make_site(request, tmp_path)
    yield site
    site.remove()


@pytest.fixture
def node_site(node: RabbitNode, tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own on the module's node, which may be hurt."""
    with site_on(node, tmp_path) as site:
        yield site


@pytest.fixture
def pool(site: Site) -> Iterator[PoolSite]:
    """The site, to try its workers' pools."""
    with pool_site(site) as pool:
        yield pool


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own, on SQLite alone."""
    site = site_on_sqlite(tmp_path)
    yield site
    site.remove()


@pytest.fixture
def php_fpm() -> Iterator[Pools]:
    """Makes PHP-FPMs for a site, and ends them after the test."""
    made: list[PhpFpm] = []

    def make(site: Site, **options: Any) -> PhpFpm:
        made.append(PhpFpm(site, **options))
        return made[-1]

    yield make
    for fpm in made:
        fpm.end()
