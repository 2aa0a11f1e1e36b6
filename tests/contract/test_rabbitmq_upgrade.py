"""Objects on RabbitMQ that an earlier version has declared: without priorities."""

import pytest

from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import BrokerUnavailable
from bridge.handling import Handling, Priority
from bridge.queues import Queue
from tests.contract.acts import an_event, consuming, soon, take
from tests.contract.rabbitmq_site import RabbitSite
from tests.deadlines import within

pytestmark = pytest.mark.rabbitmq

QUEUES = [Queue("mail", ("mail.#",)), Queue("default")]
URGENT = an_event("mail.sent")._replace(handling=Handling(priority=Priority.HIGH))


@pytest.fixture(name="old")
async def objects_of_before(rabbit_site: RabbitSite) -> RabbitSite:
    """A site that has the objects of both queues, but those of priorities."""
    broker, names = RabbitBroker.from_url(rabbit_site.url, rabbit_site.namespace), Names(rabbit_site.namespace)
    await broker.declare(QUEUES)
    await broker.close()
    async with rabbit_site.channel() as channel:
        for lane in (Priority.HIGH, Priority.LOW):
            for queue in QUEUES:
                await channel.queue_delete(names.queue(queue.name, lane))
            await channel.exchange_delete(names.events_of(lane))
            await channel.exchange_delete(names.rest_of(lane))
    return rabbit_site


async def test_an_upgrade_only_adds(old: RabbitSite) -> None:
    """Events that wait in the queues of an earlier version are taken, and priorities work."""
    before = RabbitBroker.from_url(old.url, old.namespace, declares=False)
    await before.publisher().publish(an_event("mail.before"))
    await before.close()
    broker = RabbitBroker.from_url(old.url, old.namespace)

    await broker.declare(QUEUES)
    await broker.publisher().publish(URGENT)

    consumer = await consuming(broker, "mail")
    names = {(await take(consumer)).envelope.event.name for _ in range(2)}
    await broker.close()
    assert names == {"mail.before", "mail.sent"}


@pytest.mark.parametrize("delayed", [False, True])
async def test_without_the_new_objects_an_event_of_priority_is_refused(old: RabbitSite, delayed: bool) -> None:
    """With `declare = false`, at once and with a delay: the error names what is missing. Nothing is published that
    would not arrive, and other events are."""
    broker = RabbitBroker.from_url(old.url, old.namespace, declares=False)
    await broker.prepare(QUEUES)
    publisher = broker.publisher()

    with pytest.raises(BrokerUnavailable, match=r"events\.high.*import the output of bridge-doctor --definitions"):
        await publisher.publish(URGENT, soon() if delayed else None, deadline=within(20))

    await publisher.publish(an_event("mail.sent"))
    await broker.close()
    assert await old.count(f"{old.namespace}.q.mail") == 1
    assert await old.count(f"{old.namespace}.delay.00") == 0
