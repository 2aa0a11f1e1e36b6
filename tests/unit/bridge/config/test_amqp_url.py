"""The parts of a URL of RabbitMQ."""

import pytest

from bridge.config.amqp_url import parts_of


@pytest.mark.parametrize(
    ("path", "vhost"),
    [
        ("", "/"),
        ("/", "/"),
        ("/%2F", "/"),
        ("/%2f", "/"),
        ("/%252F", "%2F"),
        ("/%252f", "%2f"),
        ("/%25252F", "%252F"),
        ("/.", "."),
        ("/..", ".."),
        ("/%2E%2E", ".."),
        ("/...", "..."),
        ("/%2Fodd", "/odd"),
        ("/a%2Fb", "a/b"),
        ("/a%3Fb%23c", "a?b#c"),
        ("/a%25b", "a%b"),
        ("/a+b", "a+b"),
        ("/a;b", "a;b"),
        ("/a%20b", "a b"),
        ("/%C3%BC", "ü"),
        ("/ü", "ü"),
        ("/v?heartbeat=5", "v"),
    ],
)
def test_a_virtual_host_is_decoded_once(path: str, vhost: str) -> None:
    """Its name is the rest of the path, whatever the name is. An empty one is the default, `/`."""
    assert parts_of(f"amqp://ada:secret@one{path}").vhost == vhost


def test_all_parts() -> None:
    """The login and the hosts are as written."""
    parts = parts_of("amqps://ada:s%40fe@one:5673,[::1]:5671,two_b/shop?heartbeat=5")

    assert (parts.scheme, parts.login, parts.query) == ("amqps", "ada:s%40fe", "heartbeat=5")
    assert parts.hosts == ("one:5673", "[::1]:5671", "two_b")
    assert "s%40fe" not in repr(parts)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("amqp://", "with a host"),
        ("amqp:///", "with a host"),
        ("amqp:one", "with a host"),
        ("amqp://ada:secret@", "with a host"),
        ("amqp://ada:secret@:5672", "with a host"),
        ("amqp://a,,b/", "with a host"),
        ("amqp://one:port/", "a port from 1 to 65535"),
        ("amqp://one:0/", "a port from 1 to 65535"),
        ("amqp://one:65536/", "a port from 1 to 65535"),
        ("amqp://one:-1/", "a port from 1 to 65535"),
        ("amqp://[::1/", "expected amqp"),
        ("amqp://one/a/b", "without '/'"),
        ("amqp://one//", "without '/'"),
        ("amqp://one/a%2", "two hexadecimal digits"),
        ("amqp://one/100%", "two hexadecimal digits"),
        ("amqp://one/%FF", "in UTF-8"),
        ("amqp://one/" + "v" * 256, "at most 255 bytes"),
        ("amqp://one/v#w", "write @ as %40"),
        ("amqp://ada:secr#et@one/", "write @ as %40"),
        ("amqp://ada:1234/secret@one/", "write @ as %40"),
        ("amqp://ada:1234?secret@one/", "write @ as %40"),
        ("amqp://one /", "without spaces"),
        ("amqp://one/a b", "without spaces"),
        ("amqp://one/\n", "without spaces"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, why: str) -> None:
    """The message says what was expected, and quotes nothing that may be a password."""
    with pytest.raises(ValueError, match=why) as raised:
        parts_of(url)

    assert "secr" not in str(raised.value)
    assert "1234" not in str(raised.value)
