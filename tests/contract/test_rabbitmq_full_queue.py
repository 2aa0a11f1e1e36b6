"""RabbitMQ, where one of an event's queues is full and another is not, which must not get the event again and again."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.brokers.contract import Broker, Publisher
from bridge.brokers.declared import DeclaredPublisher
from bridge.brokers.opening import open_existing
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.publisher import RabbitPublisher
from bridge.brokers.spool.publisher import SpoolingPublisher
from bridge.brokers.spool.reading import spooled
from bridge.brokers.spool.spool_file import SpoolFile
from bridge.brokers.spool.store import Store
from bridge.envelope import Envelope
from bridge.errors import PartlyRejected
from bridge.event import Event
from bridge.queues import Queue
from tests.contract.acts import an_envelope, an_event, eventually
from tests.managed_node import ManagedNode

pytestmark = pytest.mark.rabbitmq

QUEUES = (Queue("mail", ("mail.#",)), Queue("audit", ("#",)))


@pytest.fixture
def namespace() -> str:
    """A namespace that nobody else uses."""
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def broker(managed: ManagedNode, namespace: str) -> AsyncIterator[Broker]:
    """A broker with two queues, of which every mail goes to both."""
    broker = RabbitBroker.from_url(managed.node.url, namespace)
    await broker.declare(QUEUES)
    yield broker
    await broker.remove(QUEUES)


@pytest.fixture
def file(tmp_path: Path, namespace: str) -> SpoolFile:
    """A spool of the test's own."""
    return SpoolFile(tmp_path / "spool.db", 1024**3, namespace)


@contextmanager
def full(managed: ManagedNode, namespace: str, queue: str) -> Iterator[None]:
    """A policy under which the queue takes nothing."""
    policy = f"/api/policies/%2F/{namespace}"
    bound = {"pattern": f"^{namespace}[.]q[.]{queue}$", "definition": {"max-length": 0}, "apply-to": "queues"}
    managed.request("PUT", policy, bound)
    try:
        yield
    finally:
        managed.request("DELETE", policy)


async def ready(broker: Broker) -> dict[str, int]:
    """How many events each queue has."""
    return {name: queue.ready for name, queue in (await broker.consumer().backlog()).items()}


@asynccontextmanager
async def spooling(broker: Broker, file: SpoolFile) -> AsyncIterator[SpoolingPublisher]:
    """A publisher that spools into this file, and relays from it."""
    publisher = SpoolingPublisher(DeclaredPublisher(lambda: broker, QUEUES), file)
    try:
        yield publisher
    finally:
        await publisher.close()


async def spool(file: SpoolFile, event: Event) -> None:
    """Leave an event in the spool, as a process does that has ended."""
    store = Store(file)
    await store.add(event, None, 10.0)
    await store.close()


async def left(file: SpoolFile) -> int:
    """How many events are in the spool."""
    return spooled(file.path, file.namespace).events


def tries(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[list[str]]]:
    """What asks which queues were given something by themselves from now on."""
    put, queues = RabbitPublisher.put, list[str]()

    async def noted(self: RabbitPublisher, envelope: Envelope, queue: str, *due: Any, **within: Any) -> None:
        queues.append(queue)
        await put(self, envelope, queue, *due, **within)

    async def asked() -> list[str]:
        return queues

    monkeypatch.setattr(RabbitPublisher, "put", noted)
    return asked


async def until_refused(publisher: Publisher | SpoolingPublisher) -> None:
    """Publish until a queue refuses: those before a policy holds are taken."""
    with pytest.raises(PartlyRejected, match=r"'mail\.sent'"):
        while True:
            await publisher.publish(an_event("mail.sent"))


async def test_who_publishes_is_told_and_nothing_is_repeated(
    managed: ManagedNode, broker: Broker, namespace: str
) -> None:
    """The event may run, says the error; the queue that takes it has it once."""
    with full(managed, namespace, "audit"):
        await until_refused(broker.publisher())

        found = await eventually(lambda: ready(broker), lambda found: found["mail"] > found["audit"])

    assert found["mail"] == found["audit"] + 1


async def test_a_connection_that_is_given_up_for_another_takes_nothing_with_it(
    managed: ManagedNode, broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is refused takes a new one; what others have in flight on the old one is answered first, and comes once."""
    monkeypatch.setattr("bridge.brokers.rabbitmq.publisher.RENEWED_EVERY", 0.05)
    back: list[bool] = []
    monkeypatch.setattr("bridge.brokers.rabbitmq.link.log.info", lambda *_: back.append(True))
    publisher, sent = broker.publisher(), 0
    with full(managed, namespace, "audit"):
        await until_refused(broker.publisher())
        before = await eventually(lambda: ready(broker), lambda found: found["mail"] > found["audit"])
        refused = asyncio.create_task(publisher.publish(an_event("other"), within=60))
        async with asyncio.timeout(60):
            while len(back) < 3:
                mails = [an_envelope(an_event("mail.sent")) for _ in range(50)]
                await asyncio.gather(*(publisher.put(mail, "mail", within=20) for mail in mails))
                sent += len(mails)
        refused.cancel()

        found = await eventually(lambda: ready(broker), lambda found: found["mail"] >= before["mail"] + sent)

    assert found["mail"] == before["mail"] + sent


async def test_who_knows_of_no_queues_repeats_nothing_either(
    managed: ManagedNode, broker: Broker, namespace: str
) -> None:
    """As bridge-dlq, which puts back what no queue took by its name: for all it knows, another queue has it."""
    stranger = open_existing(managed.node.url, namespace)
    with full(managed, namespace, "audit"):
        await until_refused(stranger.publisher())

        found = await eventually(lambda: ready(broker), lambda found: found["mail"] > found["audit"])

    assert found["mail"] == found["audit"] + 1
    await stranger.close()


async def test_it_is_an_answer_and_opens_no_circuit(
    managed: ManagedNode, broker: Broker, namespace: str, file: SpoolFile
) -> None:
    """Whoever spools is told the same, and nothing is spooled."""
    with full(managed, namespace, "audit"):
        async with spooling(broker, file) as publisher:
            await until_refused(publisher)

    assert await left(file) == 0


async def test_what_is_relayed_comes_twice_at_most(
    managed: ManagedNode, broker: Broker, namespace: str, file: SpoolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spooled event is tried again with the queue that refuses it alone, which has it when there is room."""
    for pause in ("spool.relay.ANSWER_SECONDS", "spool.relay.LONGEST_PAUSE", "rabbitmq.publisher.RENEWED_EVERY"):
        monkeypatch.setattr(f"bridge.brokers.{pause}", 0.2)
    async with spooling(broker, file) as publisher:
        with full(managed, namespace, "audit"):
            await until_refused(broker.publisher())
            before = await eventually(lambda: ready(broker), lambda found: found["mail"] > found["audit"])
            tried = tries(monkeypatch)
            await spool(file, an_event("mail.sent"))
            publisher.start()
            await eventually(tried, lambda tried: tried.count("audit") >= 3)
        await eventually(lambda: left(file), lambda left: left == 0)

    after = await eventually(lambda: ready(broker), lambda found: found["audit"] > before["audit"])
    assert after == {"mail": before["mail"] + 2, "audit": before["audit"] + 1}
    assert (await tried()).count("mail") == 1
