"""RabbitMQ, if the ledger's stream changes its leader while dead letters are written: no confirmed letter is lost."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

import pytest

from bridge.attempt import Error
from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.publishing.publication import dead_letter
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
"""Erlang code for the node that acts on the process which leads a stream."""

EACH = sorted(f"{when}.{number}" for when in ("amid", "after") for number in range(3))

ToLeader = Callable[[str], Awaitable[str]]


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
async def broker(node: RabbitNode, namespace: str) -> AsyncIterator[RabbitBroker]:
    """A broker on the node, with the queue `default`."""
    async with with_default(node.url, namespace) as broker:
        yield broker


@pytest.fixture
def to_leader(node: RabbitNode, namespace: str) -> ToLeader:
    """Return a function that acts on the process that leads the ledger's stream."""

    async def done(act: str) -> str:
        return await asyncio.to_thread(node.eval, LEADER.format(stream=f"{namespace}.dead", act=act))

    return done


def letter(name: str) -> Letter:
    """Return a dead letter for an event of this name."""
    return Letter(now(), "default", "rejected", an_envelope(an_event(name)), Error("ValueError", "no such account"))


async def amid_a_change(to_leader: ToLeader, act: Callable[[str], Coroutine[None, None, None]]) -> None:
    """Call this three times while the stream's leader is suspended, and three times with the next leader."""
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
    """Return the names of the events in the ledger."""
    return sorted(entry.event_name for entry in await entries_of(broker) if isinstance(entry, Dead))


async def test_no_letter_is_taken_for_a_repeat(broker: RabbitBroker, to_leader: ToLeader) -> None:
    """Letters in flight during the change, and later ones, are in the ledger once. RabbitMQ before 4.0 would confirm
    and drop them on a channel that has also published something else."""
    publisher = broker.publisher()
    for _ in range(20):
        await publisher.publish(an_event())
    await publisher.send(dead_letter(letter("before")))  # the first letter is alone on its channel

    await amid_a_change(to_leader, lambda name: publisher.send(dead_letter(letter(name))))

    assert await dead_names(broker) == sorted(["before", *EACH])


async def test_nothing_that_no_queue_takes_is_taken_for_a_repeat(broker: RabbitBroker, to_leader: ToLeader) -> None:
    """The same holds for delayed events that no queue takes, which RabbitMQ itself moves to the ledger."""
    publisher, consumer = broker.publisher(), broker.consumer()
    for _ in range(20):
        await publisher.publish(an_event(), soon())
    await await_backlog(consumer, default=Backlog(20, 0, 0))

    await amid_a_change(to_leader, lambda name: publisher.put(an_envelope(an_event(name)), "gone", soon()))

    await eventually(lambda: dead_names(broker), lambda names: names == EACH)
