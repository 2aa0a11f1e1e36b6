"""What all tests share: one private RabbitMQ node for the whole run, and tests that are coroutines."""

from collections.abc import Iterator

import pytest

from tests.rabbitmq_node import shared_node


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """The URL of a broker for tests that need no control of it; each uses a namespace of its own there."""
    with shared_node() as url:
        yield url
