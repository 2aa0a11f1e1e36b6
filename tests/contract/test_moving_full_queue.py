"""`bridge-move` to RabbitMQ, where a queue is full: the events of other queues do not wait for its own."""

import asyncio
import uuid
from pathlib import Path

import pytest

from bridge.brokers.rabbitmq.broker import RabbitBroker
from tests.contract.acts import consuming
from tests.contract.moving import a_move, envelopes
from tests.contract.test_rabbitmq_full_queue import full
from tests.limits import LONG
from tests.managed_node import ManagedNode
from worker.moving.tally import Kind


@pytest.mark.long
@pytest.mark.rabbitmq
async def test_a_full_queue_holds_up_no_other(
    managed: ManagedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More events of the full queue than a batch has come first; all are moved, in their order, when there is room."""
    monkeypatch.setattr("worker.moving.events.ANSWER_SECONDS", 10.0)  # it is the time for which a rejection is awaited
    namespace = f"t{uuid.uuid4().hex[:8]}"
    move = await a_move(
        managed.node.url, namespace, tmp_path, lambda name: RabbitBroker.from_url(managed.node.url, name)
    )
    names = [f"order.n{number}" for number in range(300)]
    sent = await move.publish(*names, "zz.other")
    await move.new.declare(move.settings.queues())

    with full(managed, namespace, "orders"):
        run = asyncio.create_task(move.run())
        consumer = await consuming(move.new, "default")
        async with asyncio.timeout(LONG):
            await (await consumer.receive()).ack()
        assert not run.done()
    report = await run

    assert await envelopes(await consuming(move.new, "orders"), 300) == sent[:300]
    assert report.moved == {Kind.DUE: 301}
    await move.new.close()
    await RabbitBroker.from_url(managed.node.url, namespace).remove(move.settings.queues())
