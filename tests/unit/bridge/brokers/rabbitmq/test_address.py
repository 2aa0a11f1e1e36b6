"""Parsing the URL of RabbitMQ."""

import pytest

from bridge.brokers.rabbitmq.connection.address import address
from bridge.errors import SettingsError


def test_several_hosts() -> None:
    """Each host is tried with the same login and virtual host."""
    made = address("amqp://ada:s%40fe@one:5673,two/shop")
    urls = made.urls

    assert made.vhost == "shop"
    assert [(url.host, url.port, url.user, url.password) for url in urls] == [
        ("one", 5673, "ada", "s@fe"),
        ("two", None, "ada", "s@fe"),
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://ada:secret@one:5673,two/shop", "amqp://one:5673,two/shop"),
        ("amqps://ada:secret@one", "amqps://one/"),
        ("amqp://one/..", "amqp://one/.."),
        ("amqp://one/%2F", "amqp://one/"),
        ("amqp://one/%252F", "amqp://one/%252F"),
        ("amqp://one/%2Fodd", "amqp://one/%2Fodd"),
    ],
)
def test_shown_without_password(url: str, shown: str) -> None:
    """The text for people has no login."""
    made = address(url)

    assert str(made) == shown
    assert "secret" not in repr(made)


@pytest.mark.parametrize("url", ["amqp://ada:secret@", "amqp://ada:secret@one:port/", "amqp://ada:secret@a,,b/x"])
def test_unusable(url: str) -> None:
    """A URL without a usable host is quoted, without its password."""
    with pytest.raises(SettingsError, match="broker_url") as raised:
        address(url)
    assert "secret" not in str(raised.value)


def test_own_heartbeat() -> None:
    """A heartbeat in the URL is not changed."""
    (url,) = address("amqp://one/?heartbeat=77").urls

    assert url.query["heartbeat"] == "77"
