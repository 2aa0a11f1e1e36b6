"""Runs a program that sends itself SIGKILL when it reaches a point for the n-th time.

``python -m tests.faults.dying POINT N PROGRAM [ARGUMENT …]``, where PROGRAM is `worker` or `publisher`. The product
does not know the points: this module replaces a method of one of its classes.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.brokers.rabbitmq.consuming.consumer_channel import ConsumerChannel
from bridge.brokers.rabbitmq.consuming.delivery import RabbitDelivery
from bridge.brokers.rabbitmq.publishing.confirming import ConfirmingChannel
from bridge.brokers.rabbitmq.publishing.sender import Sender
from bridge.brokers.sqlite.queues.delivery import SqliteDelivery
from bridge.brokers.sqlite.queues.posts import Posts
from bridge.local_database.database import Database
from bridge.publishing.lazy_publisher import LazyPublisher
from tests.faults import publisher
from worker.cli import main as worker

IN_FLIGHT = 0.0005
"""Seconds between a publish and the kill that should come before the confirm."""


@dataclass(frozen=True, slots=True)
class Point:
    """A moment to die, relative to a method call: `before` it, or `soon after` its beginning."""

    owner: type
    method: str
    when: str


POINTS = {
    "worker": {
        "rabbitmq": {
            "effect, not acked": Point(RabbitDelivery, "ack", "before"),
            "retry copy or letter in flight": Point(Sender, "_try", "soon after"),
            "retry copy or letter confirmed, not acked": Point(ConsumerChannel, "ack_replaced", "before"),
        },
        "sqlite": {
            "effect, not acked": Point(SqliteDelivery, "ack", "before"),
            "retry not committed": Point(SqliteDelivery, "retry", "soon after"),
            "committed, caller not informed": Point(Database, "_resolve", "before"),
        },
    },
    "publisher": {
        "rabbitmq": {
            "invoked, not published": Point(LazyPublisher, "at_once", "before"),
            "published, not confirmed": Point(ConfirmingChannel, "_numbered", "soon after"),
            "confirmed, caller not informed": Point(ConfirmingChannel, "_confirmed", "before"),
        },
        "sqlite": {
            "invoked, not published": Point(LazyPublisher, "at_once", "before"),
            "published, not committed": Point(Posts, "_submit", "soon after"),
            "committed, caller not informed": Point(Database, "_resolve", "before"),
        },
    },
}
"""By program, broker and name: the points."""


def broker(url: str) -> str:
    """Return the key of `POINTS` for the broker at this URL."""
    return "rabbitmq" if url.startswith("amqp") else "sqlite"


def die_at(point: Point, number: int) -> None:
    """Kill this process when it reaches the point for the `number`-th time."""
    method, passed = getattr(point.owner, point.method), 0

    def due() -> bool:
        nonlocal passed
        passed += 1
        return passed == number

    def before(*arguments: Any, **named: Any) -> Any:
        if due():
            _die()
        return method(*arguments, **named)

    def soon_after(*arguments: Any, **named: Any) -> Any:
        if due():
            asyncio.get_running_loop().call_later(IN_FLIGHT, _die)
        return method(*arguments, **named)

    doomed: dict[str, Callable[..., Any]] = {"before": before, "soon after": soon_after}
    setattr(point.owner, point.method, doomed[point.when])


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(point: str, number: str, program: str, *arguments: str) -> None:
    """Run the program until it dies at the point."""
    die_at(POINTS[program][broker(os.environ["BRIDGE_BROKER_URL"])][point], int(number))
    if program == "worker":
        worker(arguments)
    else:
        name, threads, rate = arguments
        publisher.main(name, int(threads), float(rate))


if __name__ == "__main__":
    main(*sys.argv[1:])
