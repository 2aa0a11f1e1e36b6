"""A program that is killed at an exact point: the n-th time that it comes there, it sends itself SIGKILL.

Run as ``python -m tests.faults.dying POINT N PROGRAM [ARGUMENT …]``, where PROGRAM is `worker` or `publisher`. The
points exist here alone: the program's own classes get a method that kills in the place of one of theirs.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bridge.brokers.rabbitmq.delivery import RabbitDelivery
from bridge.brokers.rabbitmq.publisher import RabbitPublisher
from bridge.brokers.rabbitmq.session import Session
from bridge.brokers.sqlite.database import Database
from bridge.brokers.sqlite.delivery import SqliteDelivery
from bridge.brokers.sqlite.publisher import SqlitePublisher
from tests.faults import publisher
from worker.cli import main as worker

IN_FLIGHT = 0.0005
"""Seconds between a publish and the kill that is meant to come before its confirm."""


@dataclass(frozen=True, slots=True)
class Point:
    """Before, after, or soon after the beginning of what a method does."""

    owner: type
    method: str
    when: str


POINTS = {
    "worker": {
        "rabbitmq": {
            "effect, not acked": Point(RabbitDelivery, "ack", "before"),
            "retry copy or letter in flight": Point(RabbitPublisher, "_try", "soon after"),
            "retry copy or letter confirmed, not acked": Point(Session, "ack_replaced", "before"),
        },
        "sqlite": {
            "effect, not acked": Point(SqliteDelivery, "ack", "before"),
            "retry not committed": Point(SqliteDelivery, "retry", "soon after"),
            "committed, and nobody told": Point(Database, "_resolve", "before"),
        },
    },
    "publisher": {
        "rabbitmq": {
            "invoked, not published": Point(RabbitPublisher, "publish", "before"),
            "published, not confirmed": Point(RabbitPublisher, "_try", "soon after"),
            "confirmed, and nobody told": Point(RabbitPublisher, "publish", "after"),
        },
        "sqlite": {
            "invoked, not published": Point(SqlitePublisher, "publish", "before"),
            "published, not committed": Point(SqlitePublisher, "publish", "soon after"),
            "committed, and nobody told": Point(Database, "_resolve", "before"),
        },
    },
}
"""By program and broker: the points, by name."""


def broker(url: str) -> str:
    """Return which broker's points there are, at this URL."""
    return "rabbitmq" if url.startswith("amqp") else "sqlite"


def die_at(point: Point, number: int) -> None:
    """Let this process die when it comes to the point for this time."""
    method, passed = getattr(point.owner, point.method), 0

    def due() -> bool:
        nonlocal passed
        passed += 1
        return passed == number

    def before(*arguments: Any, **named: Any) -> Any:
        if due():
            _die()
        return method(*arguments, **named)

    async def after(*arguments: Any, **named: Any) -> Any:
        result = await method(*arguments, **named)
        if due():
            _die()
        return result

    async def soon_after(*arguments: Any, **named: Any) -> Any:
        if due():
            asyncio.get_running_loop().call_later(IN_FLIGHT, _die)
        return await method(*arguments, **named)

    doomed: dict[str, Callable[..., Any | Awaitable[Any]]] = {
        "before": before,
        "after": after,
        "soon after": soon_after,
    }
    setattr(point.owner, point.method, doomed[point.when])


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(point: str, number: str, program: str, *arguments: str) -> None:
    """Run the program, which will come to the point."""
    die_at(POINTS[program][broker(os.environ["BRIDGE_BROKER_URL"])][point], int(number))
    if program == "worker":
        worker(arguments)
    else:
        name, threads, rate = arguments
        publisher.main(name, int(threads), float(rate))


if __name__ == "__main__":
    main(*sys.argv[1:])
