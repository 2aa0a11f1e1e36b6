"""Virtual hosts of any name: the URL's path, decoded once, is the name."""

import pytest

from bridge.brokers.rabbitmq.connection.address import address
from bridge.brokers.rabbitmq.connection.connecting import connect, disconnect
from bridge.errors import BrokerRefused
from tests.managed_node import ManagedNode

pytestmark = pytest.mark.rabbitmq


@pytest.mark.parametrize("path", ["%252F", ".", "..", "a%2Fb", "a%3Fb%23c", "a%25b", "%C3%BC"])
async def test_a_virtual_host_is_the_named_one(managed: ManagedNode, path: str) -> None:
    """RabbitMQ is asked for that name. None of them exists, and its refusal quotes the name."""
    where = address(managed.url("guest", path))

    with pytest.raises(BrokerRefused, match="not found") as refused:
        await connect(where)

    assert f"vhost {where.vhost} not found" in str(refused.value)


@pytest.mark.parametrize("path", ["", "%2F"])
async def test_the_default_virtual_host_has_two_spellings(managed: ManagedNode, path: str) -> None:
    """Without a name, and by its own."""
    await disconnect(await connect(address(managed.url("guest", path))))
