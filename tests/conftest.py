"""Fixtures of all tests: two private RabbitMQ nodes for each test process, one shared, one that tests may break."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.managed_node import ManagedNode, managed_node
from tests.rabbitmq_node import RabbitNode, shared_node

settings.register_profile("untimed", deadline=None)  # by default an example fails after 0.2 s, also on a busy machine
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """The URL of a broker for tests that do not control it. Each test uses a namespace of its own."""
    with shared_node() as url:
        yield url


@pytest.fixture(scope="session")
def managed() -> Iterator[ManagedNode]:
    """A node with its management, which tests may break. Each test leaves it running and repaired."""
    with managed_node() as managed:
        yield managed


@pytest.fixture(scope="session")
def node(managed: ManagedNode) -> RabbitNode:
    """The node of `managed`, without its management."""
    return managed.node
