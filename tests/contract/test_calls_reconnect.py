"""A worker's connection is lost while all that it may hold is in hand: its calls are still answered, once each, and it
takes as many new ones as before.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.calling import Caller, CallServer, HeldCall
from bridge.brokers.opening import open_broker
from bridge.call import Answer, AnswerKind
from bridge.deadline import Deadline
from bridge.errors import CallLost, NobodyServes
from bridge.queues import Queue
from tests.contract.calling import MAIL, question, repeated, serving
from tests.contract.rabbitmq_site import RabbitSite
from tests.contract.sqlite_site import SqliteSite
from tests.faults.proxy import Proxy
from tests.limits import PATIENCE

MOST = 2


async def ask(caller: Caller, data: bytes) -> Answer:
    """Ask again while nobody serves: the worker is about to be back."""
    deadline = Deadline.after(PATIENCE, time.monotonic())
    while True:
        with suppress(NobodyServes):
            return await caller.ask(question(data), MAIL, deadline)
        await asyncio.sleep(0.01)


def asking(caller: Caller, *data: bytes) -> list[asyncio.Task[Answer]]:
    """Ask these questions at the same time."""
    return [asyncio.create_task(ask(caller, each)) for each in data]


async def received(server: CallServer, count: int) -> Sequence[HeldCall]:
    """Return the next questions of a server."""
    async with asyncio.timeout(PATIENCE):
        return [await server.receive() for _ in range(count)]


async def answered(held: Sequence[HeldCall]) -> None:
    """Answer each question with itself."""
    for call in held:
        await call.answer(repeated(call))


async def until_lost(server: CallServer) -> None:
    """Wait until the server knows that its connection is gone."""
    async with asyncio.timeout(PATIENCE):
        while not server.trouble:
            await asyncio.sleep(0.001)


async def gets_nothing(server: CallServer) -> None:
    """Check that the server hands out no further question."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await server.receive()


@pytest.fixture
def line(rabbit_site: RabbitSite) -> Iterator[Proxy]:
    """The worker's line to RabbitMQ."""
    with Proxy(urlsplit(rabbit_site.url).port or 5672) as proxy:
        yield proxy


@pytest.fixture
async def worker(rabbit_site: RabbitSite, line: Proxy) -> AsyncIterator[Broker]:
    """The worker's broker, with everything declared."""
    broker = open_broker(line.url(rabbit_site.url), rabbit_site.namespace)
    await broker.declare([Queue("mail"), Queue("default")])
    yield broker
    await broker.close()


@pytest.fixture
async def web(rabbit_site: RabbitSite) -> AsyncIterator[Broker]:
    """The broker of those who ask, whose connections are not lost."""
    broker = open_broker(rabbit_site.url, rabbit_site.namespace)
    yield broker
    await broker.close()


@pytest.mark.rabbitmq
async def test_a_rabbitmq_worker_answers_after_a_break(worker: Broker, web: Broker, line: Proxy) -> None:
    """It answers the calls in hand over the new connection, and takes new ones."""
    caller = web.caller()
    async with serving(worker, "mail", respond=None, most=MOST) as server:
        first = asking(caller, b"1", b"2")
        held = await received(server, MOST)

        line.reset()
        await until_lost(server)

        await answered(held)
        third = asking(caller, b"3")
        await answered(await received(server, 1))
        assert [(await task).data for task in (*first, *third)] == [b"1", b"2", b"3"]
        last = asking(caller, b"4", b"5", b"6")
        held = await received(server, MOST)
        await gets_nothing(server)
        await answered(held)
        await answered(await received(server, 1))
        assert {(await task).data for task in last} == {b"4", b"5", b"6"}


@pytest.mark.rabbitmq
async def test_what_comes_back_to_the_rabbitmq_worker_that_has_it(worker: Broker, web: Broker, line: Proxy) -> None:
    """Another worker has no room, so RabbitMQ gives the questions to the same worker again. They are not lost and not
    run twice, and count as held until they are answered."""
    caller = web.caller()
    async with serving(web, "mail", respond=None, most=1) as other:
        occupied = asking(caller, b"0")
        (busy,) = await received(other, 1)
        async with serving(worker, "mail", respond=None, most=MOST) as server:
            first = asking(caller, b"1", b"2")
            held = await received(server, MOST)

            line.reset()
            await until_lost(server)

            third = asking(caller, b"3")
            await gets_nothing(server)
            await answered(held)
            assert [((await task).kind, (await task).data) for task in first] == [
                (AnswerKind.ANSWERED, b"1"),
                (AnswerKind.ANSWERED, b"2"),
            ]
            await answered(await received(server, 1))
            assert (await third[0]).data == b"3"
            await gets_nothing(server)
        await answered([busy])
        assert (await occupied[0]).data == b"0"


async def test_an_sqlite_file_that_is_replaced(sqlite_site: SqliteSite) -> None:
    """The callers of the old file are told. Answers to them reach nobody who asks in the new file, and the worker takes
    as many questions as before."""
    worker, web = (open_broker(sqlite_site.url, sqlite_site.namespace) for _ in range(2))
    await worker.declare([Queue("mail"), Queue("default")])
    caller = web.caller()
    async with serving(worker, "mail", respond=None, most=MOST) as server:
        first = asking(caller, b"1", b"2")
        held = await received(server, MOST)

        sqlite_site.remove()

        for task in first:
            with pytest.raises(CallLost):
                await task
        await answered(held[:1])
        second = asking(caller, b"3")
        (new,) = await received(server, 1)
        await answered(held[1:])
        await gets_nothing(server)
        assert not second[0].done()
        await answered([new])
        assert (await second[0]).data == b"3"
        last = asking(caller, b"4", b"5", b"6")
        held = await received(server, MOST)
        await gets_nothing(server)
        await answered(held)
        await answered(await received(server, 1))
        assert {(await task).data for task in last} == {b"4", b"5", b"6"}
    await web.close()
    await worker.close()
