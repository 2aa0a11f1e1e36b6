"""Workers that are asked to probe at once, and that ask each other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf

import pytest

from bridge.attempt import Error
from bridge.brokers.contract.broker import Broker
from bridge.logs import Content
from bridge.moments import tell_nobody
from bridge.outcome import Failed, Succeeded
from bridge.probes import SUBJECT, ProbeAsked, instances_in, question_of
from bridge.queues import Queue
from tests.contract.conftest import OpenBroker
from tests.limits import PATIENCE
from worker.events.breakers import Breakers
from worker.events.probing import Probing
from worker.events.queue_breaker import QueueBreaker

FAILED = Failed(Error("ConnectionError", "no route"))


def holding(*names: str) -> Breakers:
    """Return the breakers of a worker that holds the events with these names in the queue mail. Its clock stands."""
    breakers = Breakers({"mail": QueueBreaker(1)}, tell_nobody, lambda: 0.0)
    for name in names:
        breakers.note("mail", name, "e", FAILED)
    return breakers


def waits(breakers: Breakers, name: str) -> float:
    """Return the seconds until the next probe of a name."""
    breaker = breakers.by_queue["mail"].holding(name)
    return inf if breaker is None else breaker.wait(0.0)


@asynccontextmanager
async def listening(broker: Broker, breakers: Breakers, instance: str) -> AsyncIterator[None]:
    """Let a worker listen during the block."""
    task = asyncio.create_task(Probing(broker.broadcast(SUBJECT), breakers, instance).run())
    yield
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def ask(broker: Broker) -> Callable[[ProbeAsked], Awaitable[Sequence[Content]]]:
    """Return a function that asks all workers, for half a second at least, and until one has answered or 2 s more."""
    await broker.declare([Queue("default")])

    async def ask(asked: ProbeAsked) -> Sequence[Content]:
        return await broker.broadcast(SUBJECT).ask_all(question_of(asked), 0.5, bool, 2.0)

    return ask


async def test_the_workers_that_hold_events_probe_and_answer(
    ask: Callable[[ProbeAsked], Awaitable[Sequence[Content]]], another_broker: OpenBroker
) -> None:
    """Only those, and only the events that were asked about."""
    away, well = holding("mail.send", "sms.send"), holding()
    async with listening(another_broker(), well, "well"), listening(another_broker(), away, "away"):
        async with asyncio.timeout(PATIENCE):
            while not instances_in(await ask(ProbeAsked("mail", "sms.send"))):
                pass  # it may not listen yet
        assert (waits(away, "sms.send"), waits(away, "mail.send")) == (0.0, 1.0)
        assert instances_in(await ask(ProbeAsked("mail"))) == {"away"}
        assert waits(away, "mail.send") == 0.0


async def test_a_worker_whose_breaker_has_closed_makes_the_others_probe(
    ask: Callable[[ProbeAsked], Awaitable[Sequence[Content]]], another_broker: OpenBroker
) -> None:
    """The events of the same name alone."""
    first, second = holding("mail.send"), holding("mail.send", "sms.send")
    async with listening(another_broker(), first, "first"), listening(another_broker(), second, "second"):
        async with asyncio.timeout(PATIENCE):
            while waits(second, "mail.send"):
                first.note("mail", "mail.send", "e", Succeeded())
                first.note("mail", "mail.send", "e", FAILED)
                await asyncio.sleep(0.05)
        assert waits(second, "sms.send") == 1.0
