"""Fixtures of the journeys: a site on SQLite, on RabbitMQ or on both in turn, and pools for it."""

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
    """Make a site on the broker that is the parameter of the fixture."""
    if request.param == "sqlite":
        return site_on_sqlite(directory)
    return Site(directory, request.getfixturevalue("rabbitmq_url"), f"j{uuid.uuid4().hex[:10]}")


@pytest.fixture(params=BROKERS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site for this test, once on each broker."""
    site = make_site(request, tmp_path)
    yield site
    site.remove()


@pytest.fixture
def node_site(node: RabbitNode, tmp_path: Path) -> Iterator[Site]:
    """A site for this test, on the RabbitMQ node that tests may break."""
    with site_on(node, tmp_path) as site:
        yield site


@pytest.fixture
def pool(site: Site) -> Iterator[PoolSite]:
    """The site, with access to the pools of its workers."""
    with pool_site(site) as pool:
        yield pool


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    """A site for this test, on SQLite only."""
    site = site_on_sqlite(tmp_path)
    yield site
    site.remove()


@pytest.fixture
def php_fpm() -> Iterator[Pools]:
    """A function that makes PHP-FPM pools for a site. They end after the test."""
    made: list[PhpFpm] = []

    def make(site: Site, **options: Any) -> PhpFpm:
        made.append(PhpFpm(site, **options))
        return made[-1]

    yield make
    for fpm in made:
        fpm.end()
