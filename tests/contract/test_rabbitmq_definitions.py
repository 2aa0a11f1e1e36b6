"""`declare = false`: an administrator imports the topology, and programs that may only write and read use it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import aiormq
import pytest

from bridge.brokers.contract import Broker
from bridge.brokers.examining import Place, definitions
from bridge.brokers.opening import open_broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.definitions import definitions_of
from bridge.brokers.rabbitmq.topology import Names
from bridge.errors import BrokerRefused, SettingsError
from bridge.ledger import Dead
from bridge.queues import Queue
from tests.contract.acts import a_letter, an_event, consuming, entries_of, eventually, now, take
from tests.managed_node import ManagedNode

QUEUES = (Queue("mail", ("mail.#", "*.sent")), Queue("default"))
NAMESPACE = "imported"


@pytest.fixture
def vhost(managed: ManagedNode) -> str:
    """An empty virtual host, with a user who may only write and read what is ours."""
    vhost = managed.new_vhost()
    managed.add_user("plain", "", r"^imported\.|^amq\.default$", r"^imported\.", vhost=vhost)
    return vhost


@pytest.fixture
def administrator(managed: ManagedNode, vhost: str) -> str:
    """The URL of who may do everything there."""
    return managed.node.url + vhost


@pytest.fixture
def imported(managed: ManagedNode, administrator: str) -> Callable[[], None]:
    """Import what is printed."""

    def import_() -> None:
        managed.request("POST", "/api/definitions", definitions(Place(administrator, NAMESPACE, QUEUES)))

    return import_


@pytest.fixture
async def broker(managed: ManagedNode, vhost: str) -> AsyncIterator[Broker]:
    """The broker, as the user who may not declare sees it."""
    broker = open_broker(managed.url("plain", vhost), NAMESPACE, declare=False)
    yield broker
    await broker.close()


@pytest.mark.rabbitmq
async def test_the_file_is_what_programs_declare(
    managed: ManagedNode, vhost: str, administrator: str, imported: Callable[[], None]
) -> None:
    """Declaring on what was imported is no conflict, and adds nothing."""
    imported()
    before = listed(managed, vhost)

    await RabbitBroker.from_url(administrator, NAMESPACE).declare(QUEUES)

    assert listed(managed, vhost) == before
    assert [len(kind) for kind in before] == [27, 25, 51]


def listed(managed: ManagedNode, vhost: str) -> list[list[str]]:
    """The exchanges, queues and bindings of a virtual host."""
    exported = managed.request("GET", f"/api/definitions/{vhost}")
    return [sorted(map(str, exported[kind])) for kind in ("exchanges", "queues", "bindings")]


@pytest.mark.rabbitmq
async def test_a_whole_journey(broker: Broker, imported: Callable[[], None]) -> None:
    """Such a user publishes, delays, takes, retries, dead-letters and reads the ledger."""
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
    """And nothing is made, by a user who could."""
    broker = RabbitBroker.from_url(administrator, NAMESPACE, declares=False)

    with pytest.raises(BrokerRefused, match=r"has no exchange 'imported\.unrouted'.*bridge-doctor --definitions"):
        await broker.declare(QUEUES)

    assert listed(managed, vhost) == [[], [], []]


@pytest.mark.rabbitmq
async def test_what_is_deleted_is_not_declared_again(
    broker: Broker, administrator: str, imported: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A consumer whose queue was deleted says which, waits, and goes on once an administrator has imported it."""
    imported()
    await broker.declare(QUEUES)
    consumer = await consuming(broker, "mail", "default")
    assert set(consumer.live) == {"mail", "default"}
    async with aiormq.connect(administrator) as connection:
        await (await connection.channel()).queue_delete("imported.q.mail")

    await eventually(_seen(lambda: "has no queue 'imported.q.mail'" in caplog.text), bool)
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
    """There is nothing to import into a file."""
    with pytest.raises(SettingsError, match="--definitions are for RabbitMQ"):
        definitions(Place(f"sqlite:///{tmp_path}/bridge.db", "bridge", QUEUES))


async def test_a_file_is_declared_in_all_the_same(tmp_path: Path) -> None:
    """On SQLite there are no permissions to be spared, so `declare = false` means nothing."""
    broker = open_broker(f"sqlite:///{tmp_path}/bridge.db", "bridge", declare=False)

    await broker.declare(QUEUES)

    assert set(await broker.consumer().backlog()) == {"mail", "default"}
    await broker.close()


def test_no_user_is_in_it() -> None:
    """Nor a permission, a password, or a virtual host of its own."""
    assert set(definitions_of(Names("bridge"), QUEUES, "/")) == {"exchanges", "queues", "bindings"}
