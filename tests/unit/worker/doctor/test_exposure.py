"""The doctor's findings about the connection to RabbitMQ: what leaves this machine, and as whom."""

import pytest

from bridge.brokers.contract.findings import FindingState
from worker.doctor import exposure


@pytest.mark.parametrize(
    "url",
    [
        "amqp://localhost/",
        "amqp://127.0.0.1:5672/",
        "amqp://[::1]:5672/",
        "amqp://127.8.9.10/",
        "amqp://guest:guest@localhost,127.0.0.1/",
        "amqps://localhost/",
    ],
)
async def test_a_connection_within_this_machine(url: str) -> None:
    """Nothing leaves this machine, so neither a plain connection nor `guest` is wrong."""
    (found,) = await exposure.examine(url)

    assert found.state is FindingState.OK


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://shop:secret@192.0.2.7/", ["amqp:// to 192.0.2.7: the password and all events cross the network"]),
        ("amqp://shop:secret@[2001:db8::1]:5672/", ["amqp:// to 2001:db8::1: "]),
        ("amqp://shop:secret@localhost,192.0.2.7/", ["amqp:// to 192.0.2.7: "]),
        ("amqp://shop:secret@no-such-host.invalid/", ["amqp:// to no-such-host.invalid: "]),
        ("amqps://192.0.2.7/", ["user 'guest', an administrator"]),
        ("amqps://guest:other@192.0.2.7/", ["user 'guest', an administrator"]),
        ("amqp://192.0.2.7/", ["amqp:// to 192.0.2.7", "user 'guest'"]),
    ],
)
async def test_a_connection_that_exposes_something(url: str, said: list[str]) -> None:
    """Each fault has a finding, and none shows the password."""
    found = await exposure.examine(url)

    assert [each.state for each in found] == [FindingState.WRONG] * len(said)
    assert all(text in each.sentence for text, each in zip(said, found, strict=True))
    assert not any("secret" in f"{each.sentence}{each.next_step}" for each in found)


async def test_tls_as_a_user_of_its_own() -> None:
    """TLS and a user other than `guest` are in order."""
    (found,) = await exposure.examine("amqps://shop:secret@192.0.2.7/")

    assert (found.state, found.sentence) == (FindingState.OK, "TLS to 192.0.2.7, as user 'shop'")


async def test_a_file_is_not_exposed() -> None:
    """There is no finding about a network where there is none."""
    assert await exposure.examine("sqlite:////var/lib/bridge.db") == []
