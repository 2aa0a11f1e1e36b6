"""A process that publishes to SQLite, forks, and closes its broker while its child continues. Run as ``python -m
tests.contract.sqlite_forking URL``: three events are published, two of them by the child.
"""

import asyncio
import os
import sys

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.queues import Queue
from tests.contract.acts import an_event


async def publish(broker: Broker) -> None:
    """Publish one event."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event())


def main(url: str) -> None:
    """Publish before the fork, in the child, and in the child again after the parent has closed its broker."""
    published, said = os.pipe()
    closed, told = os.pipe()
    broker = open_broker(url, "bridge")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(publish(broker))
    if child := os.fork():
        os.read(published, 1)
        loop.run_until_complete(broker.close())
        os.write(told, b"x")
        os.waitpid(child, 0)
        return
    own, its = asyncio.new_event_loop(), open_broker(url, "bridge")
    own.run_until_complete(publish(its))
    os.write(said, b"x")
    os.read(closed, 1)
    own.run_until_complete(publish(its))
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
