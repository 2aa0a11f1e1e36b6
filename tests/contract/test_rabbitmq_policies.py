"""RabbitMQ under an operator's policies on everything: delayed events come early, or their queues are deleted."""

import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from bridge.brokers.contract.inspection import SiteOnBroker
from bridge.brokers.opening import check_policies, inspect
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.errors import BrokerRefused
from bridge.queues import Queue
from tests.contract.acts import an_envelope, an_event, consuming, now, take
from tests.contract.rabbitmq_namespaces import with_default
from tests.managed_node import ManagedNode

pytestmark = pytest.mark.rabbitmq

QUEUES = (Queue("default"),)


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def broker(managed: ManagedNode, namespace: str) -> AsyncIterator[RabbitBroker]:
    """A broker with the catch-all."""
    async with with_default(managed.node.url, namespace) as broker:
        yield broker


@contextmanager
def under(managed: ManagedNode, pattern: str, definition: dict[str, Any], kind: str = "policies") -> Iterator[None]:
    """Set a policy while the block runs."""
    path = f"/api/{kind}/%2F/everything"
    managed.request("PUT", path, {"pattern": pattern, "definition": definition, "apply-to": "queues"})
    try:
        yield
    finally:
        managed.request("DELETE", path)


@pytest.mark.parametrize("act", ["publish", "put", "retry"])
async def test_a_delayed_event_is_not_early(
    managed: ManagedNode, broker: RabbitBroker, namespace: str, act: str
) -> None:
    """An event that leaves the shortened delay ladder too early goes up again until it is due."""
    wait = timedelta(seconds=5)
    consumer, publisher = await consuming(broker, "default"), broker.publisher()
    with under(managed, rf"^{namespace}\.delay\.", {"message-ttl": 300}):
        due = now() + wait
        match act:
            case "publish":
                await publisher.publish(an_event(), due)
            case "put":
                await publisher.put(an_envelope(), "default", due)
            case "retry":
                await publisher.publish(an_event())
                delivery = await take(consumer)
                due = now() + wait
                await delivery.retry(delivery.envelope, wait)

        delivery = await take(consumer)

    assert now() >= due
    await delivery.ack()
    assert (await consumer.backlog())["default"].waiting == 0


@pytest.mark.parametrize("kind", ["policies", "operator-policies"])
async def test_a_policy_that_deletes_queues_ends_the_start(managed: ManagedNode, namespace: str, kind: str) -> None:
    """It is refused at once, with the policy's name and the command that clears it; the queues need not exist yet."""
    site = SiteOnBroker(managed.node.url, namespace, QUEUES, management_url=managed.management_url)

    with (
        under(managed, rf"^{namespace}", {"expires": 3_600_000}, kind),
        pytest.raises(
            BrokerRefused, match=r"policy 'everything' on .*expires = 3600000: deletes it .*rabbitmqctl clear_"
        ),
    ):
        await check_policies(site)


@pytest.mark.parametrize("definition", [{"message-ttl": 60_000}, {"max-length": 100}, {"overflow": "drop-head"}])
async def test_a_policy_that_limits_queues_is_reported(
    managed: ManagedNode, broker: RabbitBroker, namespace: str, definition: dict[str, Any]
) -> None:
    """At the start, and by the doctor, at once."""
    site = SiteOnBroker(managed.node.url, namespace, QUEUES, management_url=managed.management_url)
    (key,) = definition

    with under(managed, rf"^{namespace}", definition):
        (at_start,) = await check_policies(site)
        (by_doctor,) = [each for each in (await inspect(site)).findings if each.subject == "policies"]

    assert re.match(rf"policy 'everything' on .*: {key} = ", at_start.sentence)
    assert by_doctor == at_start


async def test_without_management_nothing_is_known_at_the_start(managed: ManagedNode, namespace: str) -> None:
    """A worker starts without it."""
    away = SiteOnBroker(managed.node.url, namespace, QUEUES, management_url="http://127.0.0.1:1")

    assert await check_policies(away) == ()
    assert await check_policies(SiteOnBroker(managed.node.url, namespace, QUEUES)) == ()
