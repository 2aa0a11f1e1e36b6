"""A RabbitMQ node for each file of this folder, to be hurt; and a site on it for each test."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.complaints.web import Web
from tests.journey.site import Site
from tests.rabbitmq_node import RabbitNode

SHOP = Path(__file__).with_name("shop.py")


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    """A node that the tests of a file may hurt; each leaves it running and unhurt."""
    with RabbitNode() as node:
        yield node


@pytest.fixture
def site(node: RabbitNode, tmp_path: Path) -> Iterator[Site]:
    """A site on that node."""
    site = Site(tmp_path, node.url, f"c{uuid.uuid4().hex[:10]}")
    shutil.copy(SHOP, tmp_path)
    yield site
    site.end()  # its queues go with the node


@pytest.fixture
def web(site: Site) -> Web:
    """The site's web server. It ends with the site."""
    return Web(site)
