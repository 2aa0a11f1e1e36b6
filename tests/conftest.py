"""What all tests share: private RabbitMQ nodes, for the whole run or for a module."""

from collections.abc import Iterator

import pytest

from tests.managed_node import ManagedNode, managed_node
from tests.rabbitmq_node import RabbitNode, shared_node


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """The URL of a broker for tests that need no control of it; each uses a namespace of its own there."""
    with shared_node() as url:
        yield url


@pytest.fixture(scope="session")
def managed() -> Iterator[ManagedNode]:
    """A broker with its management, to be hurt: each test leaves it running and unhurt."""
    with managed_node() as managed:
        yield managed


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    """A node for the tests of a module, to be hurt: each leaves it running and unhurt."""
    with RabbitNode() as node:
        yield node
