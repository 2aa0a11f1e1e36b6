"""Which queues a consumer takes from, by its own word."""

from bridge.brokers.contract import Broker
from bridge.queues import Queue


async def test_live_while_it_takes(broker: Broker) -> None:
    """All its queues from its start to its end, and none before and after."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("default")])
    consumer = broker.consumer()
    before = set(consumer.live)

    await consumer.start({"mail": 1, "default": 1})
    meanwhile = set(consumer.live)
    await consumer.stop()

    assert (before, meanwhile, set(consumer.live)) == (set(), {"mail", "default"}, set())
