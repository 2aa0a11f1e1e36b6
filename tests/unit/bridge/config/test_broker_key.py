"""The key of a broker: equal for all URLs of one broker, and different for different brokers."""

import pytest

from bridge.config.broker_key import broker_key

SAME = [
    ("amqp://localhost", "amqp://guest:guest@localhost:5672/"),
    ("amqp://localhost/", "amqp://localhost/%2F"),
    ("amqp://h/shop", "amqp://user:p%40ss@H:5672/shop?heartbeat=5"),
    ("amqp://h1,h2:5673/v", "amqp://a:b@h2:5673,h1:5672/v"),
    ("amqps://h", "amqps://h:5671"),
    ("amqp://[::1]/", "amqp://[::1]:5672/"),
]
DIFFERENT = [
    ("amqp://h1/", "amqp://h2/"),
    ("amqp://h:5672/", "amqp://h:5673/"),
    ("amqp://h/", "amqps://h/"),
    ("amqp://h/one", "amqp://h/two"),
    ("amqp://h/a", "amqp://h/A"),
    ("sqlite:////a/b.db", "sqlite:////a/c.db"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_broker_has_one_key(one: str, other: str) -> None:
    """User, password, order of hosts and defaults do not count."""
    assert broker_key(one) == broker_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_brokers_have_two_keys(one: str, other: str) -> None:
    """Host, port and virtual host count."""
    assert broker_key(one) != broker_key(other)


def test_a_key_has_no_password() -> None:
    """The key is a part of file names, as a hash."""
    assert broker_key("amqp://shop:secret@h/v?x=secret") == "h:5672 v"
