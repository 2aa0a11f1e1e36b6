"""The doctor's findings about queues, streams and exchanges of RabbitMQ that differ from what is declared."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import aiormq
import pytest
from pamqp.common import FieldValue

from bridge.brokers.contract.findings import FindingState
from bridge.brokers.contract.inspection import SiteOnBroker
from bridge.brokers.opening import inspect
from bridge.brokers.rabbitmq.topology.declarations import log_stream
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.logs import Retention
from bridge.site_logs import HISTORY
from tests.contract.acts import eventually
from tests.contract.examining import (
    about,
    becomes,
    declared,
    delete,
    elsewhere,
    follow,
    hurt,
    site_of_its_own,
    the_wrong_one,
)
from tests.managed_node import ManagedNode
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq

MIB = 1024 * 1024


@pytest.fixture
async def own(managed: ManagedNode) -> AsyncIterator[SiteOnBroker]:
    """A site of the test's own."""
    async with site_of_its_own(managed) as place:
        yield place


async def test_a_queue_that_differs(node: RabbitNode, own: SiteOnBroker) -> None:
    """A queue with other arguments is reported in RabbitMQ's words, with the command that deletes it."""
    name = f"{own.namespace}.q.mail"
    await hurt(own, lambda channel: channel.queue_delete(name))
    await hurt(own, lambda channel: channel.queue_declare(name, durable=True, arguments={"x-queue-type": "classic"}))

    found = await the_wrong_one(own, "topology")

    assert f"queue '{name}' differs from what is declared" in found.sentence
    assert "inequivalent arg" in found.sentence
    follow(node, found)
    await declared(own)
    await becomes(own, "topology", FindingState.OK)


async def test_a_queue_that_differs_and_holds_an_event(node: RabbitNode, own: SiteOnBroker) -> None:
    """No command is named while a quorum queue holds an event; when it has run empty, the named command deletes it."""
    name = f"{own.namespace}.q.mail"
    await hurt(own, lambda channel: channel.queue_delete(name))
    await hurt(own, lambda channel: channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"}))
    await hurt(own, lambda channel: channel.basic_publish(b"?", routing_key=name))

    full = await eventually(
        lambda: the_wrong_one(own, "topology"), lambda found: "holds 1 message" in (found.next_step or "")
    )
    await hurt(own, lambda channel: channel.queue_purge(name))
    empty = await the_wrong_one(own, "topology")

    assert "delete_queue" not in (full.next_step or "")
    follow(node, empty)
    await declared(own)
    await becomes(own, "topology", FindingState.OK)


@pytest.mark.parametrize("log", ["dead", "log.controls"])
async def test_a_stream_that_differs(own: SiteOnBroker, log: str) -> None:
    """A stream is never empty, so the next step deletes nothing, and says what a deletion would lose."""
    name = f"{own.namespace}.{log}"
    arguments: dict[str, FieldValue] = {"x-queue-type": "stream", "x-max-age": "1D"}
    await hurt(own, lambda channel: channel.queue_delete(name))
    await hurt(own, lambda channel: channel.queue_declare(name, durable=True, arguments=arguments))

    found = await the_wrong_one(own, "topology")

    assert "rabbitmqctl" not in (found.next_step or "")
    assert re.match(r"do not delete it: all .* would be lost; ", found.next_step or "")


async def test_a_history_that_differs(managed: ManagedNode, own: SiteOnBroker) -> None:
    """A stream keeps what it was declared with. The named policy makes it keep what the settings say."""
    user = managed.add_user(f"u{own.namespace}", "", ".*", ".*")
    wanted = replace(elsewhere(own, user, declares=False), history=Retention(timedelta(days=7), MIB))
    large = log_stream(Names(own.namespace), HISTORY, Retention(timedelta(days=1), 100 * MIB))
    arguments = large.arguments | {"x-stream-max-segment-size-bytes": MIB}
    await hurt(own, lambda channel: channel.queue_declare(large.name, durable=True, arguments=arguments))
    async with aiormq.connect(own.url) as connection:
        channel = await connection.channel()

        async def kept() -> int:
            await channel.basic_publish(bytes(100_000), routing_key=large.name)
            return (await channel.queue_declare(large.name, passive=True)).message_count or 0

        await eventually(kept, lambda count: count > 60)
        found = await the_wrong_one(wanted, "topology")
        follow(managed.node, found)
        await eventually(kept, lambda count: count < 50)

        managed.request("DELETE", f"/api/policies/%2F/{large.name}")
        await channel.queue_delete(large.name)
    assert "delete_queue" not in (found.next_step or "")


async def test_an_exchange_that_differs(managed: ManagedNode, own: SiteOnBroker) -> None:
    """An exchange with other arguments is reported with the request that deletes it, since rabbitmqctl cannot."""
    name = f"{own.namespace}.rest"
    await hurt(own, lambda channel: channel.exchange_delete(name))
    await hurt(own, lambda channel: channel.exchange_declare(exchange=name, exchange_type="direct", durable=True))

    found = await the_wrong_one(own, "topology")

    assert f"exchange '{name}' differs from what is declared" in found.sentence
    delete(managed, found)
    await declared(own)
    await becomes(own, "topology", FindingState.OK)


async def test_a_difference_that_only_the_management_tells(managed: ManagedNode, own: SiteOnBroker) -> None:
    """For a user who may not declare, and so not compare over AMQP, the management API shows how a queue differs."""
    url = managed.add_user("onlooker", "", ".*", ".*")
    name = f"{own.namespace}.delay.03"
    await hurt(own, lambda channel: channel.queue_delete(name))
    await hurt(own, lambda channel: channel.queue_declare(name, durable=True, arguments={"x-message-ttl": 1}))

    examination = await inspect(elsewhere(own, url, declares=False))

    said = [finding.sentence for finding in about(examination, "topology") if finding.state is FindingState.WRONG]
    (sentence,) = said
    assert sentence.startswith(f"queue '{name}' differs from what is declared: x-queue-type is ")
    assert sentence.endswith("; x-message-ttl is 1, expected 8000")
