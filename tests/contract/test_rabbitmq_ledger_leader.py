"""RabbitMQ, where the ledger's stream changes its leader amid dead letters: every confirmed one is there."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

import pytest

from bridge.attempt import Error
from bridge.brokers.contract import Backlog
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.ledger import Dead, Letter
from tests.contract.acts import an_envelope, an_event, await_backlog, entries_of, eventually, now, soon
from tests.contract.rabbitmq_namespaces import with_default
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq

LEADER = """
{{ok, Stream}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{stream}">>)),
Leader = amqqueue:get_pid(Stream),
{act}.
"""
"""For the node: an act on the process that leads a stream."""

EACH = sorted(f"{when}.{number}" for when in ("amid", "after") for number in range(3))

ToLeader = Callable[[str], Awaitable[str]]


@pytest.fixture
def namespace() -> str:
    """A namespace that nobody else uses."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
async def broker(node: RabbitNode, namespace: str) -> AsyncIterator[RabbitBroker]:
    """A broker on the node, with the queue `default`."""
    async with with_default(node.url, namespace) as broker:
        yield broker


@pytest.fixture
def to_leader(node: RabbitNode, namespace: str) -> ToLeader:
    """What does something to the process that leads the ledger's stream."""

    async def done(act: str) -> str:
        return await asyncio.to_thread(node.ctl, "eval", LEADER.format(stream=f"{namespace}.dead", act=act))

    return done


def letter(name: str) -> Letter:
    """A dead letter for an event of this name."""
    return Letter(now(), "default", "rejected", an_envelope(an_event(name)), Error("ValueError", "no such account"))


async def amid_a_change(to_leader: ToLeader, act: Callable[[str], Coroutine[None, None, None]]) -> None:
    """Do it three times while the stream's leader is not there to take it, and three times when another one is."""
    await to_leader("sys:suspend(Leader)")
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(act(f"amid.{number}"))
        waiting = "element(2, process_info(Leader, message_queue_len))"
        await eventually(lambda: to_leader(waiting), lambda answer: int(answer) >= 3)
        await to_leader("exit(Leader, kill)")
    for number in range(3):
        await act(f"after.{number}")


async def dead_names(broker: RabbitBroker) -> list[str]:
    """The names of the events in the ledger."""
    return sorted(entry.event_name for entry in await entries_of(broker) if isinstance(entry, Dead))


async def test_no_letter_is_taken_for_a_repeat(broker: RabbitBroker, to_leader: ToLeader) -> None:
    """Those in flight amid the change are there once, and so are those that follow. RabbitMQ before 4.0 confirms and
    drops what shares a channel with anything else."""
    publisher = broker.publisher()
    for _ in range(20):
        await publisher.publish(an_event())

    await amid_a_change(to_leader, lambda name: publisher.bury(letter(name)))

    assert await dead_names(broker) == EACH


async def test_nothing_that_no_queue_takes_is_taken_for_a_repeat(broker: RabbitBroker, to_leader: ToLeader) -> None:
    """The same holds for what leaves the delay ladder with nowhere to go, which RabbitMQ itself hands on."""
    publisher, consumer = broker.publisher(), broker.consumer()
    for _ in range(20):
        await publisher.publish(an_event(), soon())
    await await_backlog(consumer, default=Backlog(20, 0, 0))

    await amid_a_change(to_leader, lambda name: publisher.put(an_envelope(an_event(name)), "gone", soon()))

    await eventually(lambda: dead_names(broker), lambda names: names == EACH)
