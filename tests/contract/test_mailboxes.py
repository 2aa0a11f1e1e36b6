"""Mailboxes: what was put is fetched, in its order, and is gone when it is acknowledged."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.mailboxes import HeldMessage, Mailboxes
from bridge.brokers.opening import open_broker
from bridge.errors import DeliveryLost
from bridge.handling import Priority
from bridge.queues import Queue
from tests.contract.acts import an_event
from tests.contract.conftest import OpenBroker, Site
from tests.contract.rabbitmq_site import RabbitSite
from tests.contract.sqlite_site import SqliteSite
from tests.deadlines import within
from tests.limits import PATIENCE

HOLDER = """
import asyncio, sys, time
from bridge.brokers.opening import open_broker
from bridge.deadline import Deadline

async def hold():
    mailboxes = open_broker(sys.argv[1], sys.argv[2]).mailboxes()
    message = await mailboxes.fetch("q1", 120, deadline=Deadline.after(120, time.monotonic()))
    print(message.body.decode(), flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""
"""A program that holds a message until it is killed."""

LONG = PATIENCE


@pytest.fixture
def mailboxes(broker: Broker) -> Mailboxes:
    """The mailboxes as one process uses them."""
    return broker.mailboxes()


async def put(mailboxes: Mailboxes, *bodies: bytes, mailbox: str = "q1", priority: Priority = Priority.NORMAL) -> None:
    """Put messages one after the other."""
    for body in bodies:
        await mailboxes.put(mailbox, body, priority, deadline=within(LONG))


async def fetch(mailboxes: Mailboxes, seconds: float = 0.0, mailbox: str = "q1") -> HeldMessage | None:
    """Fetch a message."""
    return await mailboxes.fetch(mailbox, seconds, deadline=within(seconds + LONG))


async def held(mailboxes: Mailboxes, mailbox: str = "q1") -> HeldMessage:
    """Fetch a message that must come."""
    message = await fetch(mailboxes, LONG, mailbox)
    assert message is not None
    return message


async def all_of(mailboxes: Mailboxes, mailbox: str = "q1") -> list[bytes]:
    """Fetch and acknowledge all that is there."""
    bodies = []
    while (message := await fetch(mailboxes, mailbox=mailbox)) is not None:
        bodies.append(message.body)
        await message.ack()
    return bodies


async def test_what_is_put_is_fetched(mailboxes: Mailboxes) -> None:
    """Byte for byte, in the order in which it was put, also an empty message and one of a megabyte."""
    bodies = [b"one", b"", b"\x00\xff\r\n", os.urandom(1024**2), "Grüße".encode()]

    await put(mailboxes, *bodies)

    assert await all_of(mailboxes) == bodies
    assert await fetch(mailboxes) is None


async def test_urgent_messages_come_first(mailboxes: Mailboxes) -> None:
    """High before normal before low, and the oldest of each."""
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.NORMAL):
        await put(mailboxes, priority.value.encode(), priority=priority)

    first = await held(mailboxes)
    assert first.priority is Priority.HIGH
    await first.ack()
    assert await all_of(mailboxes) == [b"normal", b"normal", b"low"]


async def test_mailboxes_are_apart(mailboxes: Mailboxes, another_broker: OpenBroker) -> None:
    """Each name is a mailbox of its own, in each namespace."""
    await put(mailboxes, b"one")

    assert await fetch(mailboxes, mailbox="q2") is None
    assert await fetch(another_broker("elsewhere").mailboxes()) is None
    assert await all_of(mailboxes) == [b"one"]


async def test_a_held_message_is_nobody_elses(mailboxes: Mailboxes, another_broker: OpenBroker) -> None:
    """Another process does not get it, nor does the same process again."""
    await put(mailboxes, b"one")
    await held(mailboxes)

    assert await fetch(mailboxes) is None
    assert await fetch(another_broker().mailboxes()) is None


async def test_a_message_given_back_comes_again(mailboxes: Mailboxes, another_broker: OpenBroker) -> None:
    """Any process can fetch it then, and is told that it is not the first."""
    await put(mailboxes, b"one")
    message = await held(mailboxes)
    assert not message.redelivered

    await message.give_back()

    again = await held(another_broker().mailboxes())
    assert (again.body, again.redelivered) == (b"one", True)


async def test_it_waits_for_a_message(mailboxes: Mailboxes, another_broker: OpenBroker) -> None:
    """A fetch that waits gets a message as soon as another process puts one, whatever its priority."""
    for priority in Priority:
        waiting = asyncio.create_task(fetch(mailboxes, LONG))
        await asyncio.sleep(0.2)
        assert not waiting.done()

        await put(another_broker().mailboxes(), b"one", priority=priority)
        came = await waiting
        assert came is not None
        assert came.priority is priority
        await came.ack()


async def test_it_waits_no_longer_than_asked(mailboxes: Mailboxes) -> None:
    """Without a message, a fetch returns None after its time."""
    await put(mailboxes, b"elsewhere", mailbox="q2")
    began = time.monotonic()

    assert await fetch(mailboxes, 0.4) is None
    assert 0.4 <= time.monotonic() - began < PATIENCE / 2


async def test_a_message_given_back_wakes_a_fetch(mailboxes: Mailboxes, another_broker: OpenBroker) -> None:
    """A fetch that waits gets what another process gives back."""
    await put(mailboxes, b"one")
    message = await held(mailboxes)
    waiting = asyncio.create_task(fetch(another_broker().mailboxes(), LONG))
    await asyncio.sleep(0.1)

    await message.give_back()

    assert (came := await waiting) is not None
    assert came.body == b"one"


async def test_many_who_fetch_share_the_messages(mailboxes: Mailboxes, another_broker: OpenBroker) -> None:
    """Each message is fetched once, by whomever, and none is left."""
    bodies = [b"%d" % number for number in range(60)]
    got: list[bytes] = []

    async def work(mine: Mailboxes) -> None:
        while len(got) < len(bodies):
            if (message := await fetch(mine, 0.2)) is not None:
                got.append(message.body)
                await message.ack()

    others = [another_broker().mailboxes() for _ in range(2)]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(put(mailboxes, *bodies), *(work(each) for each in (*others, *others)))

    assert sorted(got) == sorted(bodies)


async def test_a_fetch_that_is_cancelled_loses_nothing(mailboxes: Mailboxes) -> None:
    """In whatever moment: the message stays, or comes back."""
    await put(mailboxes, b"one")
    for moment in range(25):
        fetching = asyncio.create_task(fetch(mailboxes, LONG))
        await asyncio.sleep(moment * 0.0007)
        fetching.cancel()
        await asyncio.wait({fetching})
        if not fetching.cancelled() and (message := fetching.result()) is not None:
            await message.give_back()

    assert (await held(mailboxes)).body == b"one"


async def test_who_is_killed_gives_its_message_back(mailboxes: Mailboxes, site: Site) -> None:
    """A fetch that waits gets the message of a process that dies."""
    await put(mailboxes, b"one")
    program = (sys.executable, "-c", HOLDER, site.url, site.namespace)
    holder = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"one\n"
        waiting = asyncio.create_task(fetch(mailboxes, LONG))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    finally:
        holder.send_signal(signal.SIGKILL)
        await holder.wait()

    assert (came := await waiting) is not None
    assert (came.body, came.redelivered) == (b"one", True)


async def test_a_message_outlives_its_broker_object(
    mailboxes: Mailboxes, another_broker: OpenBroker, broker: Broker
) -> None:
    """What a process holds when it closes its broker returns."""
    await put(mailboxes, b"one", b"two")
    await held(mailboxes)

    await broker.close()

    assert sorted(await all_of(another_broker().mailboxes())) == [b"one", b"two"]


async def test_they_are_apart_from_events(mailboxes: Mailboxes, broker: Broker) -> None:
    """A queue of the same name gets no message, and a mailbox no event."""
    await broker.declare([Queue("q1", ("#",))])
    await broker.publisher().publish(an_event())
    await put(mailboxes, b"one")

    counts = await broker.operator().counts(["q1"])
    assert sum(counts.queues["q1"].ready.values()) == 1
    assert await all_of(mailboxes) == [b"one"]


@pytest.mark.rabbitmq
async def test_a_mailbox_that_was_deleted_is_made_again(rabbit_site: RabbitSite) -> None:
    """RabbitMQ: an operator deletes its queues, also while a fetch waits; put and fetch go on."""
    broker = open_broker(rabbit_site.url, rabbit_site.namespace)
    mailboxes = broker.mailboxes()
    try:
        await put(mailboxes, b"lost")
        waiting = asyncio.create_task(fetch(mailboxes, LONG, "q2"))
        await asyncio.sleep(0.3)
        async with rabbit_site.channel() as channel:
            for name in ("q1", "q2"):
                for suffix in ("", ".high", ".low"):
                    await channel.queue_delete(f"{rabbit_site.namespace}.mailbox.{name}{suffix}")
        await put(mailboxes, b"one")
        await put(mailboxes, b"two", mailbox="q2")

        assert await all_of(mailboxes) == [b"one"]
        assert (came := await waiting) is not None
        assert came.body == b"two"
    finally:
        await broker.close()


@pytest.mark.rabbitmq
async def test_a_lost_connection_is_told_at_the_acknowledgement(rabbit_site: RabbitSite) -> None:
    """RabbitMQ: a message whose connection broke is not acknowledged, and comes again."""
    broker = open_broker(rabbit_site.url, rabbit_site.namespace)
    mailboxes = broker.mailboxes()
    try:
        await put(mailboxes, b"one")
        message = await held(mailboxes)
        await mailboxes._link.drop()  # type: ignore[attr-defined]  # as a broken connection does
        with pytest.raises(DeliveryLost, match="may come again"):
            await message.ack()
        assert (await held(mailboxes)).body == b"one"
    finally:
        await broker.close()


async def test_a_replaced_file_is_told_at_the_acknowledgement(sqlite_site: SqliteSite) -> None:
    """SQLite: a message of a file that is no longer there cannot be acknowledged."""
    broker = open_broker(sqlite_site.url, sqlite_site.namespace)
    mailboxes = broker.mailboxes()
    try:
        await put(mailboxes, b"one")
        message = await held(mailboxes)
        for path in sqlite_site.path.parent.glob("bridge.db*"):
            if path.name in ("bridge.db", "bridge.db-wal", "bridge.db-shm"):
                path.unlink()
        with pytest.raises(DeliveryLost):
            await message.ack()
        await put(mailboxes, b"two")
        assert await all_of(mailboxes) == [b"two"]
    finally:
        await broker.close()
