"""Programs that start on RabbitMQ: under a policy that deletes their queues, and far away from it."""

from urllib.parse import urlsplit

import pytest

from tests.faults.proxy import Proxy
from tests.journey.site import Site
from tests.managed_node import ManagedNode
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


async def test_a_worker_does_not_start_under_a_policy_that_deletes_its_queues(
    managed: ManagedNode, node_site: Site
) -> None:
    """It exits with 3, with the command that clears the policy; without the policy it starts."""
    policy = {"pattern": f"^{node_site.namespace}", "definition": {"expires": 3_600_000}, "apply-to": "queues"}
    managed.request("PUT", "/api/policies/%2F/deletes", policy)
    try:
        refused = node_site.worker("--until-empty", BRIDGE_MANAGEMENT_URL=managed.management_url)
        assert await refused.ended() == 3, refused.log
    finally:
        managed.request("DELETE", "/api/policies/%2F/deletes")
    worker = node_site.worker("--until-empty", BRIDGE_MANAGEMENT_URL=managed.management_url)

    assert await worker.ended() == 0, worker.log
    assert "policy 'deletes' on " in refused.log
    assert "rabbitmqctl clear_policy -p / deletes" in refused.log


async def test_bridge_defer_far_away_from_rabbitmq(node: RabbitNode, node_site: Site) -> None:
    """The first event of a process takes some round trips, and not one for each of the declared objects."""
    async with node_site.broker():
        pass  # all is declared
    with Proxy(urlsplit(node.url).port or 5672) as proxy:
        proxy.latency(0.1)
        deferred = node_site.run(
            "bridge-defer",
            "do.this",
            '{"do": []}',
            BRIDGE_BROKER_URL=proxy.url(node.url),
            BRIDGE_PUBLISH_TIMEOUT="10s",
        )
        assert await deferred.ended() == 0, deferred.log

    backlog = await node_site.backlog()
    assert sum(each.ready for each in backlog.values()) == 1
