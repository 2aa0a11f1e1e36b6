"""Fixtures of all tests: two private RabbitMQ nodes for each test process, one shared, one that tests may break."""

import logging
import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import settings

from tests.managed_node import ManagedNode, managed_node
from tests.parsing import parse_undisturbed
from tests.rabbitmq_node import RabbitNode, shared_node
from tests.short_run import Collected, left_to_test_all

settings.register_profile("untimed", deadline=None)  # by default an example fails after 0.2 s, also on a busy machine
settings.load_profile("untimed")
parse_undisturbed()


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marks
def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Mark what `make test` leaves to `make test-all` as long, by the table in `tests/short_run.py`."""
    tests = [
        Collected(
            item.path.relative_to(config.rootpath).as_posix(),
            item.name,
            item.get_closest_marker("rabbitmq") is not None,
            item.get_closest_marker("long") is not None,
        )
        for item in items
    ]
    for place in left_to_test_all(tests):
        items[place].add_marker("long")


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Pytest's `caplog`, without the lines of threads that another test has left running."""
    others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}

    def is_of_this_test(record: logging.LogRecord) -> bool:
        return record.thread not in others

    caplog.handler.addFilter(is_of_this_test)
    yield caplog
    caplog.handler.removeFilter(is_of_this_test)


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
