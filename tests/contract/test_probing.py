"""Workers that tell each other what their breakers do, and are asked to probe at once."""

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
from bridge.probes import (
    SUBJECT,
    ProbeAsked,
    held_in,
    instances_in,
    question_of,
    question_of_held,
    queues_answered,
)
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
    """Let a worker listen and tell during the block."""
    task = asyncio.create_task(worker(broker, breakers, instance).run())
    yield
    task.cancel()
    await asyncio.wait([task])


def worker(broker: Broker, breakers: Breakers, instance: str) -> Probing:
    """Return a worker, for people `instance:1`."""
    return Probing(broker, breakers, instance, f"{instance}:1")


def opens(breakers: Breakers, name: str) -> None:
    """Close the breaker of a name and open it again, so that the worker tells both."""
    breakers.note("mail", name, "e", Succeeded())
    breakers.note("mail", name, "e", FAILED)


def closes(breakers: Breakers, name: str) -> None:
    """Open the breaker of a name and close it again, so that the worker tells both."""
    opens(breakers, name)
    breakers.note("mail", name, "e", Succeeded())


async def until(done: Callable[[], bool], act: Callable[[], None] = lambda: None) -> None:
    """Do this act again and again until this is true: a worker may not listen yet."""
    async with asyncio.timeout(PATIENCE):
        while not done():
            act()
            await asyncio.sleep(0.05)


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
    away, well = holding("mail.send", "sms.send"), Breakers({"push": QueueBreaker(1)}, tell_nobody, lambda: 0.0)
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
        await until(lambda: waits(second, "mail.send") == 0.0, lambda: opens(first, "mail.send"))
        assert waits(second, "sms.send") == 1.0


async def test_a_worker_whose_breaker_has_opened_tells_the_others(broker: Broker, another_broker: OpenBroker) -> None:
    """They hold the same events, and name the worker that has counted. When it holds them no longer, they do so too,
    but those of which a probe has failed meanwhile, which probe at once."""
    await broker.declare([Queue("default")])
    first, second, third = holding(), holding(), holding()
    async with (
        listening(another_broker(), first, "first"),
        listening(another_broker(), second, "second"),
        listening(another_broker(), third, "third"),
    ):
        await until(
            lambda: second.holds("mail", "mail.send") and third.holds("mail", "mail.send"),
            lambda: opens(first, "mail.send"),
        )
        told = "the breaker of mail.send: 1 event in a row failed alike in worker first:1 (ConnectionError: no route)"
        assert (second.why("mail") or "").startswith(told)
        assert not second.holds("mail", "sms.send")

        second.begins("mail", "mail.send", "probe")
        second.note("mail", "mail.send", "probe", FAILED)
        assert waits(second, "mail.send") == 2.0
        await until(
            lambda: waits(second, "mail.send") == 0.0 and not third.holds("mail", "mail.send"),
            lambda: closes(first, "mail.send"),  # again, if the answer to a worker that starts came after that
        )


async def test_a_worker_that_starts_holds_what_the_others_hold(broker: Broker, another_broker: OpenBroker) -> None:
    """One of them is enough, and need not have counted itself."""
    await broker.declare([Queue("default")])
    away, told, new = holding(), holding(), holding()
    async with listening(another_broker(), told, "told"):
        async with listening(another_broker(), away, "away"):
            await until(lambda: told.holds("mail", "sms.send"), lambda: opens(away, "sms.send"))
        async with asyncio.timeout(PATIENCE):
            while not new.holds("mail", "sms.send"):
                await worker(another_broker(), new, "new").ask()
    assert not new.holds("mail", "mail.send")
    assert "in worker away:1" in (new.why("mail") or "")


async def test_each_worker_answers_for_its_own_queues(broker: Broker, another_broker: OpenBroker) -> None:
    """A worker that starts waits for an answer about each of its queues, and one of other queues gives none."""
    await broker.declare([Queue("default")])
    other, away = Breakers({"push": QueueBreaker(1)}, tell_nobody, lambda: 0.0), holding("mail.send")

    async def answers(*queues: str) -> list[Content]:
        def complete(found: Sequence[Content]) -> bool:
            return queues_answered(found) >= set(queues)

        return await broker.broadcast(SUBJECT).ask_all(question_of_held(queues), 0.0, complete, 1.0)

    async with listening(another_broker(), other, "other"), listening(another_broker(), away, "away"):
        async with asyncio.timeout(PATIENCE):
            while len(both := await answers("mail", "push")) < 2:
                pass  # one of them may not listen yet
        assert sorted(each["of"] for each in both) == [["mail"], ["push"]]
        (of_mail,) = await answers("mail")
        assert [(held.queue, held.name) for held in held_in(of_mail)] == [("mail", "mail.send")]


async def test_a_worker_that_starts_alone(broker: Broker, another_broker: OpenBroker) -> None:
    """It asks, and its start goes on although nobody answers."""
    await broker.declare([Queue("default")])
    async with asyncio.timeout(PATIENCE):
        await worker(another_broker(), holding(), "new").ask()
