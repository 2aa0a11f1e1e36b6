"""A process with an SQLite broker of its own, for tests that kill processes or need many. Run as ``python -m
tests.contract.sqlite_process VERB URL COUNT``. It prints a line for each thing that it did.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.queues import Queue
from tests.contract.acts import an_event, consuming


async def publish(broker: Broker, count: int) -> None:
    """Publish `count` events, ten at a time, and print their ids once they are published."""
    publisher = broker.publisher()
    for _ in range(0, count, 10):
        events = [an_event() for _ in range(10)]
        await asyncio.gather(*(publisher.publish(event) for event in events))
        for event in events:
            print(event.id, flush=True)


async def publish_and_leave(broker: Broker, count: int) -> None:
    """Publish `count` events, and end without closing anything."""
    await publish(broker, count)
    sys.exit(0)


async def consume(broker: Broker, count: int) -> None:
    """Take and acknowledge until killed, `count` at a time, and print the id of each event once it is acknowledged."""
    consumer = await consuming(broker, "default", prefetch=count)

    async def work() -> None:
        while True:
            delivery = await consumer.receive()
            await delivery.ack()
            print(delivery.envelope.event.id, flush=True)

    await asyncio.gather(*(work() for _ in range(count)))


async def hold(broker: Broker, count: int) -> None:
    """Take `count` events, print their tokens, and hold them until killed."""
    consumer = await consuming(broker, "default", prefetch=count)
    held = [await consumer.receive() for _ in range(count)]
    for delivery in held:
        print(delivery.token, flush=True)
    await asyncio.Event().wait()


async def decide(broker: Broker, count: int) -> None:
    """Hold the right to decide until killed; print `count` lines once it is held."""
    async with broker.ledger().deciding():
        print("deciding\n" * count, end="", flush=True)
        await asyncio.Event().wait()


VERBS: dict[str, Callable[[Broker, int], Awaitable[None]]] = {
    verb.__name__: verb for verb in (publish, publish_and_leave, consume, hold, decide)
}


async def main(verb: str, url: str, count: str) -> None:
    broker = open_broker(url, "bridge")
    await broker.declare([Queue("default")])
    await VERBS[verb](broker, int(count))
    await broker.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
