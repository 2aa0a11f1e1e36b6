"""RabbitMQ, if a user may publish some events and not others: a refusal, at once, that disturbs no other event."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.publishing.publication import dead_letter
from bridge.errors import BrokerRefused, DeferForbidden
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spool.store import Store
from bridge.publishing.spool.summary import spooled
from bridge.publishing.spooling_publisher import SpoolingPublisher
from bridge.queues import Queue
from tests.contract.acts import a_letter, an_envelope, an_event, consuming, eventually, soon, take, take_and_ack
from tests.deadlines import within
from tests.limits import PATIENCE
from tests.managed_node import ManagedNode

pytestmark = pytest.mark.rabbitmq

QUEUES = (Queue("default"),)
BUDGET = PATIENCE
"""Seconds of a deadline that is never reached: a refusal comes at once."""


class User:
    """A user of RabbitMQ who may publish what a test says, by exchange and routing key."""

    def __init__(self, managed: ManagedNode, namespace: str) -> None:
        self._managed = managed
        self._namespace = namespace
        self.name = f"u{uuid.uuid4().hex[:8]}"
        self.url = managed.add_user(self.name, ".*", ".*", ".*")

    def may_publish(self, exchange: str, keys: str) -> None:
        """Permit the routing keys that match, and forbid all others."""
        rule = {"exchange": f"{self._namespace}.{exchange}", "write": keys, "read": ".*"}
        self._managed.request("PUT", f"/api/topic-permissions/%2F/{self.name}", rule)

    def may_write(self, exchanges: str) -> None:
        """Permit the exchanges that match, and forbid all others."""
        may = {"configure": ".*", "write": exchanges, "read": ".*"}
        self._managed.request("PUT", f"/api/permissions/%2F/{self.name}", may)

    def remove(self) -> None:
        """Remove the user."""
        self._managed.request("DELETE", f"/api/users/{self.name}")


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def broker(managed: ManagedNode, namespace: str) -> AsyncIterator[RabbitBroker]:
    """The site as its administrator uses it."""
    broker = RabbitBroker.from_url(managed.node.url, namespace)
    await broker.declare(QUEUES)
    yield broker
    await broker.close()
    await broker.remove(QUEUES)


@pytest.fixture
async def user(managed: ManagedNode, namespace: str, broker: RabbitBroker) -> AsyncIterator[User]:
    """A user who may publish events of the names `order.…` alone."""
    user = User(managed, namespace)
    user.may_publish("events", r"^order\.")
    yield user
    user.remove()


@pytest.fixture
async def theirs(user: User, namespace: str, broker: RabbitBroker) -> AsyncIterator[RabbitBroker]:
    """The same site as this user uses it."""
    theirs = RabbitBroker.from_url(user.url, namespace)
    await theirs.declare(QUEUES)
    yield theirs
    await theirs.close()


async def test_a_forbidden_name_is_refused_at_once_with_the_words_of_rabbitmq(theirs: RabbitBroker) -> None:
    """The error names the topic and the user, and nothing was published."""
    with pytest.raises(DeferForbidden, match=r"ACCESS_REFUSED.*topic 'mail\.sent'.*refused for user"):
        await theirs.publisher().publish(an_event("mail.sent"), deadline=within(BUDGET))

    assert (await theirs.consumer().backlog())["default"].ready == 0


async def test_a_forbidden_exchange_is_refused_at_once(user: User, theirs: RabbitBroker, namespace: str) -> None:
    """A user without write permission on the exchange of events gets the same error."""
    user.may_write("^nothing$")

    with pytest.raises(DeferForbidden, match=rf"exchange '{namespace}\.events'"):
        await theirs.publisher().publish(an_event("order.paid"), deadline=within(BUDGET))


async def test_a_forbidden_delay_is_refused_at_once(user: User, theirs: RabbitBroker) -> None:
    """The delay ladder's exchanges have permissions of their own."""
    user.may_publish("delay.03", r"\.e\.order\.[a-z]+$")
    publisher = theirs.publisher()

    with pytest.raises(DeferForbidden, match=r"topic '[01.]+e\.mail\.sent'"):
        await publisher.publish(an_event("mail.sent"), soon(timedelta(seconds=12)), deadline=within(BUDGET))
    await publisher.publish(an_event("order.paid"), soon(timedelta(seconds=12)), deadline=within(BUDGET))


async def test_a_forbidden_queue_is_refused_at_once(user: User, theirs: RabbitBroker, namespace: str) -> None:
    """An envelope for one queue is refused in the same way."""
    user.may_write(rf"^{namespace}\.events$")

    with pytest.raises(DeferForbidden, match="ACCESS_REFUSED"):
        await theirs.publisher().put(an_envelope(), "default", deadline=within(BUDGET))


async def test_neighbours_of_forbidden_events_run_once(broker: RabbitBroker, theirs: RabbitBroker) -> None:
    """Of many events in flight, the forbidden ones are refused and each other one is in its queue exactly once."""
    publisher, forbidden = theirs.publisher(), 0
    events = [an_event("mail.sent" if number % 7 == 3 else f"order.n{number % 5}") for number in range(1000)]

    results = await asyncio.gather(
        *(publisher.publish(event, deadline=within(BUDGET)) for event in events), return_exceptions=True
    )

    consumer = await consuming(broker, "default", prefetch=200)
    permitted = [event.id for event in events if event.name != "mail.sent"]
    counted = Counter([each.envelope.event.id for each in await take_and_ack(consumer, len(permitted))])
    forbidden = sum(isinstance(each, DeferForbidden) for each in results)
    assert forbidden == len(events) - len(permitted)
    assert [each for each in results if each is not None and not isinstance(each, DeferForbidden)] == []
    assert counted == Counter(permitted)
    assert (await consumer.backlog())["default"].ready == 0


async def test_a_permission_that_is_taken_away_and_given_back(user: User, theirs: RabbitBroker) -> None:
    """The next publish is refused although earlier ones were permitted, and the one after the repair is confirmed."""
    publisher = theirs.publisher()
    await publisher.publish(an_event("order.paid"), deadline=within(BUDGET))

    user.may_publish("events", r"^mail\.")

    async def refused() -> bool:
        try:  # RabbitMQ remembers a permission for a while
            await publisher.publish(an_event("order.paid"), deadline=within(BUDGET))
        except DeferForbidden:
            return True
        except Exception as error:
            return "ACCESS_REFUSED" in str(error)
        return False

    await eventually(refused, bool)
    with pytest.raises(DeferForbidden):
        await publisher.publish(an_event("order.paid"), deadline=within(BUDGET))
    user.may_publish("events", r"^order\.")
    await publisher.publish(an_event("order.paid"), deadline=within(BUDGET))


async def test_a_forbidden_dead_letter_is_refused_at_once(
    user: User, broker: RabbitBroker, theirs: RabbitBroker, namespace: str
) -> None:
    """The worker is told so in RabbitMQ's words."""
    await broker.publisher().publish(an_event("order.paid"))
    delivery = await take(await consuming(broker, "default"))
    user.may_write(rf"^{namespace}\.events$")

    with pytest.raises(BrokerRefused, match=rf"ACCESS_REFUSED.*'{namespace}\.dlx'"):
        await theirs.publisher().send(dead_letter(a_letter(delivery)), within(BUDGET))


async def test_a_relay_goes_on_with_the_events_that_are_permitted(
    user: User, broker: RabbitBroker, namespace: str, tmp_path: Path
) -> None:
    """The forbidden event, which was spooled first, stays in the spool."""
    file = SpoolFile(tmp_path / "spool.db", 1024**3, namespace)
    store = Store(file)
    for name in ("mail.sent", "order.paid", "mail.sent", "order.sent"):
        await store.add(an_event(name), None, within(PATIENCE))
    await store.close()
    theirs = RabbitBroker.from_url(user.url, namespace)
    relay = SpoolingPublisher(LazyPublisher(lambda: theirs, QUEUES), file)
    relay.start()

    taken = await take_and_ack(await consuming(broker, "default"), 2)

    async def left() -> int:
        return spooled(file.path, file.namespace).events

    await eventually(left, lambda count: count == 2)
    await relay.close()
    assert sorted(each.envelope.event.name for each in taken) == ["order.paid", "order.sent"]
