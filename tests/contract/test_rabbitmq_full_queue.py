"""RabbitMQ, if one of an event's queues is full and another is not: the other one must not get the event repeatedly."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.back_off import BackOff
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.publishing import Publisher
from bridge.brokers.opening import open_existing
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.publishing.publisher import RabbitPublisher
from bridge.envelope import Envelope
from bridge.errors import PartlyRejected
from bridge.event import Event
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spool.store import Store
from bridge.publishing.spool.summary import spooled
from bridge.publishing.spooling_publisher import SpoolingPublisher
from bridge.queues import Queue
from tests.contract.acts import an_envelope, an_event, eventually
from tests.deadlines import within
from tests.limits import PATIENCE
from tests.managed_node import ManagedNode

pytestmark = pytest.mark.rabbitmq

QUEUES = (Queue("mail", ("mail.#",)), Queue("audit", ("#",)))


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def broker(managed: ManagedNode, namespace: str) -> AsyncIterator[Broker]:
    """A broker with two queues that both take every mail."""
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
    """Set a policy under which the queue takes nothing, while the block runs."""
    policy = f"/api/policies/%2F/{namespace}"
    bound = {"pattern": f"^{namespace}[.]q[.]{queue}$", "definition": {"max-length": 0}, "apply-to": "queues"}
    managed.request("PUT", policy, bound)
    try:
        yield
    finally:
        managed.request("DELETE", policy)


async def ready(broker: Broker) -> dict[str, int]:
    """Return the number of events of each queue."""
    return {name: queue.ready for name, queue in (await broker.consumer().backlog()).items()}


@asynccontextmanager
async def spooling(broker: Broker, file: SpoolFile) -> AsyncIterator[SpoolingPublisher]:
    """Return a publisher that spools into this file, and relays from it."""
    publisher = SpoolingPublisher(LazyPublisher(lambda: broker, QUEUES), file)
    try:
        yield publisher
    finally:
        await publisher.close()


async def spool(file: SpoolFile, event: Event) -> None:
    """Leave an event in the spool, like a process that has ended."""
    store = Store(file)
    await store.add(event, None, within(PATIENCE))
    await store.close()


async def left(file: SpoolFile) -> int:
    """Return the number of events in the spool."""
    return spooled(file.path, file.namespace).events


def tries(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[list[str]]]:
    """Record the queues to which single envelopes are put from now on; return a function that returns them."""
    put, queues = RabbitPublisher.put, list[str]()

    async def noted(self: RabbitPublisher, envelope: Envelope, queue: str, *due: Any, **deadline: Any) -> None:
        queues.append(queue)
        await put(self, envelope, queue, *due, **deadline)

    async def asked() -> list[str]:
        return queues

    monkeypatch.setattr(RabbitPublisher, "put", noted)
    return asked


async def until_refused(publisher: Publisher | SpoolingPublisher) -> None:
    """Publish until a queue refuses; events before the policy takes effect are accepted."""
    with pytest.raises(PartlyRejected, match=r"'mail\.sent'"):
        while True:
            await publisher.publish(an_event("mail.sent"), deadline=within(PATIENCE))


async def test_who_publishes_is_told_and_nothing_is_repeated(
    managed: ManagedNode, broker: Broker, namespace: str
) -> None:
    """The publisher gets an error that says that the event may run; the other queue has it once."""
    with full(managed, namespace, "audit"):
        await until_refused(broker.publisher())

        found = await eventually(lambda: ready(broker), lambda found: found["mail"] > found["audit"])

    assert found["mail"] == found["audit"] + 1


async def test_a_connection_that_is_given_up_for_another_takes_nothing_with_it(
    managed: ManagedNode, broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rejected publish opens a new connection; other publishes in flight on the old one are answered first, and
    arrive once."""
    monkeypatch.setattr("bridge.brokers.rabbitmq.publishing.recovery.RENEWED_EVERY", 0.05)
    back: list[bool] = []
    monkeypatch.setattr("bridge.brokers.rabbitmq.connection.link.log.info", lambda *_: back.append(True))
    publisher, sent = broker.publisher(), 0
    with full(managed, namespace, "audit"):
        await until_refused(broker.publisher())
        before = await eventually(lambda: ready(broker), lambda found: found["mail"] > found["audit"])
        refused = asyncio.create_task(publisher.publish(an_event("other"), deadline=within(PATIENCE)))
        async with asyncio.timeout(PATIENCE):
            while len(back) < 3:
                mails = [an_envelope(an_event("mail.sent")) for _ in range(50)]
                await asyncio.gather(*(publisher.put(mail, "mail", deadline=within(PATIENCE)) for mail in mails))
                sent += len(mails)
        refused.cancel()

        found = await eventually(lambda: ready(broker), lambda found: found["mail"] >= before["mail"] + sent)

    assert found["mail"] == before["mail"] + sent


async def test_who_knows_of_no_queues_repeats_nothing_either(
    managed: ManagedNode, broker: Broker, namespace: str
) -> None:
    """A program that does not know the queues, such as bridge-dlq, does not repeat the publish either: another queue
    may have the event."""
    stranger = open_existing(managed.node.url, namespace)
    with full(managed, namespace, "audit"):
        await until_refused(stranger.publisher())

        found = await eventually(lambda: ready(broker), lambda found: found["mail"] > found["audit"])

    assert found["mail"] == found["audit"] + 1
    await stranger.close()


async def test_it_is_an_answer_and_opens_no_circuit(
    managed: ManagedNode, broker: Broker, namespace: str, file: SpoolFile
) -> None:
    """A spooling publisher raises the same error, and spools nothing."""
    with full(managed, namespace, "audit"):
        async with spooling(broker, file) as publisher:
            await until_refused(publisher)

    assert await left(file) == 0


async def test_what_is_relayed_comes_twice_at_most(
    managed: ManagedNode, broker: Broker, namespace: str, file: SpoolFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay repeats a spooled event only for the queue that refuses it, which gets it when there is room."""
    # A put takes this long at a queue that refuses it, and would come twice if a free queue took longer to confirm it.
    monkeypatch.setattr("bridge.publishing.relay.ANSWER_SECONDS", 3.0)
    monkeypatch.setattr("bridge.publishing.relay.RELAY_BACK_OFF", BackOff(first=0.2, at_most=0.2))
    monkeypatch.setattr("bridge.brokers.rabbitmq.publishing.recovery.RENEWED_EVERY", 0.2)
    async with spooling(broker, file) as publisher:
        with full(managed, namespace, "audit"):
            await until_refused(broker.publisher())
            before = await eventually(lambda: ready(broker), lambda found: found["mail"] > found["audit"])
            tried = tries(monkeypatch)
            await spool(file, an_event("mail.sent"))
            publisher.start()
            await eventually(tried, lambda tried: tried.count("audit") >= 2)
        await eventually(lambda: left(file), lambda left: left == 0)

    after = await eventually(lambda: ready(broker), lambda found: found["audit"] > before["audit"])
    assert after == {"mail": before["mail"] + 2, "audit": before["audit"] + 1}
    assert (await tried()).count("mail") == 1
