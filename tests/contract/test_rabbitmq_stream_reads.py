"""RabbitMQ, if it fails to open a stream's files and refuses the reader with 541: the reader asks again."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bridge.attempt import Error
from bridge.brokers.contract.broker import Broker
from bridge.ledger import Letter
from bridge.logs import Retention
from tests.contract.acts import consuming, entries_of, eventually, now, publish_some, take
from tests.contract.rabbitmq_namespaces import with_default
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq

SOME = Retention(size=1024**2)


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
async def broker(node: RabbitNode, namespace: str) -> AsyncIterator[Broker]:
    """A broker on the node, with a log that keeps all, one that keeps some, and a dead letter."""
    async with with_default(node.url, namespace) as broker:
        for log in (broker.log("all"), broker.log("some", SOME)):
            await log.append({"n": 1})
            await log.append({"n": 2})
        await publish_some(broker, 1)
        delivery = await take(await consuming(broker, "default"))
        await delivery.dead_letter(
            Letter(now(), "default", "rejected", delivery.envelope, Error("ValueError", "no such account"))
        )
        yield broker


async def forwards(broker: Broker) -> list[int]:
    """Read the log that keeps some."""
    return [record.content["n"] async for record in broker.log("some", SOME).read()]


async def backwards(broker: Broker) -> list[int]:
    """Read the log that keeps some, newest first."""
    return [record.content["n"] async for record in broker.log("some", SOME).read_back()][::-1]


async def indexed(broker: Broker) -> list[int]:
    """Read the log that keeps all, through its index."""
    return [record.content["n"] async for record in broker.log("all").read()]


async def letters(broker: Broker) -> list[int]:
    """Read the list of dead letters, and the whole first one. Return how many there are."""
    found = await entries_of(broker)
    assert await broker.ledger().letter(found[0].number) is not None
    return [len(found)]


@pytest.mark.parametrize(
    ("stream", "read", "expected"),
    [
        ("log.some", forwards, [1, 2]),
        ("log.some", backwards, [1, 2]),
        ("log.all", indexed, [1, 2]),
        ("dead", letters, [1]),
    ],
)
async def test_a_stream_that_cannot_be_opened_for_a_moment(
    node: RabbitNode,
    namespace: str,
    broker: Broker,
    stream: str,
    read: Callable[[Broker], Awaitable[list[int]]],
    expected: list[int],
) -> None:
    """The reader is refused, reads again, and gets all."""
    name = f"{namespace}.{stream}"
    index = await asyncio.to_thread(index_of, node, name)
    away = index.with_suffix(".away")
    index.rename(away)

    try:
        reading = asyncio.ensure_future(read(broker))
        await eventually(
            lambda: asyncio.to_thread(node.logged), lambda text: f"{{'basic.consume',0,<<\"{name}\">>" in text
        )
    finally:
        away.rename(index)

    assert await reading == expected


def index_of(node: RabbitNode, stream: str) -> Path:
    """Return the file with the index of a stream that has one segment."""
    (found,) = (
        path
        for path in node.directory.rglob("*.index")
        if path.parent.name.startswith(f"__{stream.replace('.', '_')}_")
    )
    return found
