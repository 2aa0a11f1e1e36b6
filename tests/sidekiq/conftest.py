"""Fixtures: a Redis server for each test process, with an empty database for each test."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.redis_server import RedisNode


@pytest.fixture(scope="session")
def node() -> Iterator[RedisNode]:
    """A Redis server of this test process. A test that breaks it leaves it running."""
    with RedisNode() as server:
        yield server


@pytest.fixture
def url(node: RedisNode) -> str:
    """The URL of an empty database."""
    return node.new_database()


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    """A client of that database."""
    with redis.Redis.from_url(url, protocol=2) as opened:
        yield opened
