"""A site for each test, on a RabbitMQ node that the tests of a file hurt; and its web server."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.complaints.web import Web
from tests.journey.site import Site, site_on
from tests.rabbitmq_node import RabbitNode

SHOP = Path(__file__).with_name("shop.py")


@pytest.fixture
def site(node: RabbitNode, tmp_path: Path) -> Iterator[Site]:
    """A site on the module's node, with the shop."""
    shutil.copy(SHOP, tmp_path)
    with site_on(node, tmp_path) as site:
        yield site


@pytest.fixture
def web(site: Site) -> Web:
    """The site's web server. It ends with the site."""
    return Web(site)
