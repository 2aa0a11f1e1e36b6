"""Fixtures: a site on a RabbitMQ node that the tests may break, its web server, and the node's log."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.complaints.web import TIMEOUT, Web
from tests.journey.site import Site, site_on
from tests.rabbitmq_node import RabbitNode

SHOP = Path(__file__).with_name("shop.py")


@pytest.fixture
def site(node: RabbitNode, tmp_path: Path) -> Iterator[Site]:
    """A site with the app `shop`, on the node that tests may break."""
    shutil.copy(SHOP, tmp_path)
    with site_on(node, tmp_path) as site:
        yield site


@pytest.fixture
def web(site: Site) -> Web:
    """The site's web server. It ends with the site."""
    return Web(site)


@pytest.fixture
def hurried(site: Site) -> None:
    """Gives the `defer()` of the site a short `publish_timeout`."""
    site.environment["BRIDGE_PUBLISH_TIMEOUT"] = f"{TIMEOUT:g}s"


@pytest.fixture
def node_log(node: RabbitNode) -> Callable[[], str]:
    """A function that returns the node's log since the beginning of the test."""
    before = len(node.logged())
    return lambda: node.logged()[before:]
