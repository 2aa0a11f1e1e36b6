"""The queues from which a consumer takes, by its own report."""

from bridge.brokers.contract.broker import Broker
from bridge.queues import Queue


async def test_live_while_it_takes(broker: Broker) -> None:
    """A consumer reports all its queues between its start and its end, and none before and after."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default")])
    consumer = broker.consumer()
    before = set(consumer.live)

    await consumer.start({"mail": 1, "default": 1})
    meanwhile = set(consumer.live)
    await consumer.stop()

    assert (before, meanwhile, set(consumer.live)) == (set(), {"mail", "default"}, set())
