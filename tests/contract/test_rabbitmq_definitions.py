"""`declare = false`: an administrator imports the topology, and programs that may only write and read use it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import aiormq
import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.inspection import SiteOnBroker
from bridge.brokers.opening import definitions, open_broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.topology.declarations import AmqpExchange, AmqpQueue, Binding, declarations
from bridge.brokers.rabbitmq.topology.definitions import definitions_of
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.errors import BrokerRefused, SettingsError
from bridge.ledger import Dead
from bridge.logs import Retention
from bridge.queues import Queue
from tests.contract.acts import a_letter, an_event, consuming, entries_of, eventually, now, take
from tests.managed_node import ManagedNode

QUEUES = (Queue("mail", ("mail.#", "*.sent")), Queue("default"))
NAMESPACE = "imported"


@pytest.fixture
def vhost(managed: ManagedNode) -> str:
    """An empty virtual host, with a user who may only write and read the bridge's objects."""
    vhost = managed.new_vhost()
    managed.add_user("plain", "", r"^imported\.", r"^imported\.", vhost=vhost)
    return vhost


@pytest.fixture
def administrator(managed: ManagedNode, vhost: str) -> str:
    """The URL of a user with all permissions there."""
    return managed.node.url + vhost


@pytest.fixture
def imported(managed: ManagedNode, administrator: str) -> Callable[[], None]:
    """Import the printed definitions."""

    def import_() -> None:
        managed.request("POST", "/api/definitions", definitions(SiteOnBroker(administrator, NAMESPACE, QUEUES)))

    return import_


@pytest.fixture
async def broker(managed: ManagedNode, vhost: str) -> AsyncIterator[Broker]:
    """The broker for the user who may not declare."""
    broker = open_broker(managed.url("plain", vhost), NAMESPACE, declare=False)
    yield broker
    await broker.close()


@pytest.mark.rabbitmq
async def test_the_file_is_what_programs_declare(
    managed: ManagedNode, vhost: str, administrator: str, imported: Callable[[], None]
) -> None:
    """Declaring after the import is no conflict, and adds nothing."""
    imported()
    before = listed(managed, vhost)

    await RabbitBroker.from_url(administrator, NAMESPACE).declare(QUEUES)

    assert listed(managed, vhost) == before
    expected = list(declarations(Names(NAMESPACE), QUEUES))
    own = [sum(isinstance(each, kind) for each in expected) for kind in (AmqpExchange, AmqpQueue, Binding)]
    assert [len(kind) for kind in before] == own


def listed(managed: ManagedNode, vhost: str) -> list[list[str]]:
    """Return the exchanges, queues and bindings of a virtual host."""
    exported = managed.request("GET", f"/api/definitions/{vhost}")
    return [sorted(map(str, exported[kind])) for kind in ("exchanges", "queues", "bindings")]


@pytest.mark.rabbitmq
async def test_a_whole_journey(broker: Broker, imported: Callable[[], None]) -> None:
    """The user without `configure` can publish, delay, take, retry, dead-letter, and read the ledger."""
    imported()
    await broker.declare(QUEUES)
    publisher = broker.publisher()
    await publisher.publish(an_event("mail.sent"))
    await publisher.publish(an_event("other"), now() + timedelta(seconds=1))
    consumer = await consuming(broker, "mail", "default")

    delivery = await take(consumer)
    await delivery.retry(delivery.envelope, timedelta(seconds=1))
    again = {each.queue: each for each in [await take(consumer), await take(consumer)]}
    await again["mail"].dead_letter(a_letter(again["mail"]))
    await again["default"].ack()

    (letter,) = await entries_of(broker)
    assert isinstance(letter, Dead)
    assert letter.queue == "mail"


@pytest.mark.rabbitmq
async def test_what_is_missing_is_named(managed: ManagedNode, vhost: str, administrator: str) -> None:
    """A missing object is named in the error and not declared, even by a user who may declare."""
    broker = RabbitBroker.from_url(administrator, NAMESPACE, declares=False)

    with pytest.raises(BrokerRefused, match=r"has no exchange 'imported\.unrouted'.*bridge-doctor --definitions"):
        await broker.declare(QUEUES)

    assert listed(managed, vhost) == [[], [], []]


@pytest.mark.rabbitmq
async def test_what_is_deleted_is_not_declared_again(
    broker: Broker, administrator: str, imported: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A consumer whose queue was deleted names it, waits, and continues after an administrator has imported it."""
    imported()
    await broker.declare(QUEUES)
    consumer = await consuming(broker, "mail", "default")
    assert set(consumer.live) == {"mail", "default"}
    async with aiormq.connect(administrator) as connection:
        await (await connection.channel()).queue_delete("imported.q.mail")

    # RabbitMQ 4.3 may end the consumer before the queue is gone; then the error of the new consumer names the queue.
    await eventually(_seen(lambda: "no queue 'imported.q.mail'" in caplog.text), bool)
    with pytest.raises(BrokerRefused, match=r"has no queue 'imported\.q\.mail'"):
        await broker.declare(QUEUES)
    imported()

    await eventually(_seen(lambda: set(consumer.live) == {"mail", "default"}), bool)
    await broker.publisher().publish(an_event("mail.sent"))
    assert (await take(consumer)).queue == "mail"


def _seen(look: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def seen() -> bool:
        return look()

    return seen


def test_it_is_for_rabbitmq_alone(tmp_path: Path) -> None:
    """The definitions are refused for SQLite."""
    with pytest.raises(SettingsError, match="--definitions are for RabbitMQ"):
        definitions(SiteOnBroker(f"sqlite:///{tmp_path}/bridge.db", "bridge", QUEUES))


async def test_a_file_is_declared_in_all_the_same(tmp_path: Path) -> None:
    """On SQLite, `declare = false` has no effect, because a file has no such permissions."""
    broker = open_broker(f"sqlite:///{tmp_path}/bridge.db", "bridge", declare=False)

    await broker.declare(QUEUES)

    assert set(await broker.consumer().backlog()) == {"mail", "default"}
    await broker.close()


def test_the_history_is_in_it() -> None:
    """The log of the history has the limits of the settings, and is left out if the settings keep none."""
    keep = Retention(timedelta(hours=1), 8 * 1024**2)

    with_history, without = (definitions_of(Names("bridge"), QUEUES, "/", each) for each in (keep, None))

    [stream] = [queue for queue in with_history["queues"] if queue["name"] == "bridge.log.history"]
    assert stream["arguments"]["x-max-age"] == "3600s"
    assert stream["arguments"]["x-max-length-bytes"] > 8 * 1024**2
    assert [each for each in with_history["bindings"] if each["destination"] == "bridge.log.history"]
    assert "bridge.log.history" not in {queue["name"] for queue in without["queues"]}


def test_no_user_is_in_it() -> None:
    """The definitions have no user, permission, password or virtual host."""
    assert set(definitions_of(Names("bridge"), QUEUES, "/")) == {"exchanges", "queues", "bindings"}
