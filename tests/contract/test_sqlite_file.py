"""SQLite only: the URL, the file, its durability, and the errors of an unusable file."""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Delivery
from bridge.brokers.opening import open_broker
from bridge.brokers.sqlite.queues.enqueuing import Enqueuing
from bridge.brokers.sqlite.queues.publisher import SqlitePublisher
from bridge.brokers.sqlite.queues.routing import Routing
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.errors import BrokerRefused, BrokerUnavailable, DeferRejected, DeliveryLost, SettingsError
from bridge.local_database.database import Database
from bridge.moments import tell_nobody
from bridge.queues import Queue
from bridge.request import ReplayTarget
from bridge.retry_policy import from_table
from bridge.retry_table import DEFAULT
from bridge.settlement import Policies
from tests.contract.acts import an_event, consuming, names_until_last, take, until
from tests.contract.sqlite_site import SqliteSite
from tests.deadlines import within
from tests.limits import PATIENCE
from worker.events.consumer import EventConsumer
from worker.events.in_flight import EventInFlight
from worker.events.replay import Replayer, Rules
from worker.slots.slots import Slots


@pytest.fixture
def site(sqlite_site: SqliteSite) -> SqliteSite:
    """A file of this test's own."""
    return sqlite_site


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://bridge.db",
        "sqlite://host/bridge.db",
        "sqlite:///folder/",
        "sqlite:///bridge.db?mode=ro",
        "sqlite:///a%00b",
    ],
)
def test_url_of_no_file(url: str) -> None:
    """A URL that names no file is a settings error that says what was expected."""
    with pytest.raises(SettingsError, match=r"broker_url 'sqlite:.*': expected the path of a file"):
        open_broker(url, "bridge")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///bridge.db", "bridge.db"),
        ("sqlite:///data/bridge.db", "data/bridge.db"),
        ("sqlite:///a%20b%3F.db", "a b?.db"),
    ],
)
def test_relative_url(url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is relative to the working directory, percent-decoded, and shown as an absolute path."""
    monkeypatch.chdir(tmp_path)

    assert open_broker(url, "bridge").name == f"SQLite {tmp_path / name}"


def test_absolute_url() -> None:
    """Four slashes begin an absolute path."""
    assert open_broker("sqlite:////var/lib/bridge.db", "bridge").name == "SQLite /var/lib/bridge.db"


def test_nothing_is_made_before_use(site: SqliteSite) -> None:
    """Opening a broker creates no file."""
    open_broker(site.url, "bridge")

    assert not site.path.exists()


async def test_no_such_directory(tmp_path: Path) -> None:
    """A file in a missing directory cannot be opened, and the message names both."""
    broker = open_broker(f"sqlite:///{tmp_path}/absent/bridge.db", "bridge")

    with pytest.raises(BrokerUnavailable, match=rf"{tmp_path}/absent/bridge\.db.*no directory {tmp_path}/absent"):
        await broker.publisher().publish(an_event())

    await broker.close()


async def test_directory_made_later(tmp_path: Path) -> None:
    """A broker that failed once tries again at the next use."""
    broker = open_broker(f"sqlite:///{tmp_path}/absent/bridge.db", "bridge")
    with pytest.raises(BrokerUnavailable):
        await broker.declare([Queue("default")])

    (tmp_path / "absent").mkdir()

    await broker.declare([Queue("default")])
    await broker.close()


async def test_directory_in_its_place(site: SqliteSite) -> None:
    """A directory cannot be used as a database."""
    site.path.mkdir()
    broker = open_broker(site.url, "bridge")

    with pytest.raises(BrokerUnavailable, match="it is a directory"):
        await broker.declare([Queue("default")])

    await broker.close()


async def test_file_of_something_else(site: SqliteSite) -> None:
    """A file that is no database is not changed."""
    site.path.write_bytes(b"not a database\n" * 100)
    broker = open_broker(site.url, "bridge")

    with pytest.raises(BrokerUnavailable, match="not a database"):
        await broker.declare([Queue("default")])

    assert site.path.read_bytes() == b"not a database\n" * 100
    await broker.close()


async def test_tables_of_a_later_version(site: SqliteSite, broker: Broker) -> None:
    """Tables of a later version are not changed, and the message has both versions."""
    await broker.declare([Queue("default")])
    await broker.close()
    with closing(site.connection()) as connection:
        connection.execute('UPDATE "bridge.version" SET version = 99')
    later = open_broker(site.url, "bridge")

    with pytest.raises(BrokerRefused, match=r"bridge\.db.*version 99.*version 1"):
        await later.declare([Queue("default")])

    await later.close()


async def test_full_disk(site: SqliteSite) -> None:
    """An event that does not fit on the disk is refused whole, and the next one that fits is accepted."""
    schema = Schema("bridge")
    database, enqueuing = Database(site.path, schema), Enqueuing(schema, Routing(schema))
    publisher = SqlitePublisher(database, enqueuing, lambda: None)
    await database.run(lambda connection: Routing(schema).declare(connection, [Queue("default")]))
    pages = await database.run(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0], writes=False)
    await database.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 5}"), writes=False)

    with pytest.raises(DeferRejected, match=r"bridge\.db: database or disk is full"):
        await publisher.publish(an_event("large", data=bytes(200_000)))

    await publisher.publish(an_event("last"))
    await database.close()
    broker = open_broker(site.url, "bridge")
    assert await names_until_last(await consuming(broker, "default")) == []
    await broker.close()


async def test_durability(site: SqliteSite) -> None:
    """Every commit is synced to the disk: a write-ahead log, and synchronous = FULL."""
    database = Database(site.path, Schema("bridge"))

    async def pragma(name: str) -> object:
        return await database.run(lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0], writes=False)

    assert await pragma("synchronous") == 2
    assert await pragma("journal_mode") == "wal"
    await database.close()


async def test_waits_for_a_busy_file(site: SqliteSite, broker: Broker) -> None:
    """A publish waits while another program has locked the file, and succeeds after that."""
    await broker.declare([Queue("default")])
    with closing(site.connection()) as other:
        other.execute("BEGIN IMMEDIATE")
        publishing = asyncio.create_task(broker.publisher().publish(an_event("last")))
        done, _ = await asyncio.wait({publishing}, timeout=0.3)
        assert not done

        other.execute("ROLLBACK")

        await asyncio.wait_for(publishing, PATIENCE)
    assert await names_until_last(await consuming(broker, "default")) == []


async def test_busy_for_too_long(site: SqliteSite, broker: Broker) -> None:
    """A publish whose time ends while the file is locked was certainly not done."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    with closing(site.connection()) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(BrokerUnavailable, match=r"bridge\.db.*0\.2 s"):
            await publisher.publish(an_event("first"), deadline=within(0.2))

        other.execute("ROLLBACK")
    await publisher.publish(an_event("last"))
    assert await names_until_last(await consuming(broker, "default")) == []


async def test_close_does_not_wait_for_a_busy_file(site: SqliteSite, broker: Broker) -> None:
    """A broker closes while the file is locked; waiting publishes raise that nothing was published."""
    await broker.declare([Queue("default")])
    with closing(site.connection()) as other:
        other.execute("BEGIN IMMEDIATE")
        publishing = asyncio.create_task(broker.publisher().publish(an_event(), deadline=within(10 * PATIENCE)))
        await asyncio.sleep(0)

        async with asyncio.timeout(PATIENCE):
            await broker.close()

        with pytest.raises(BrokerUnavailable):
            await publishing


async def test_removed_while_open(site: SqliteSite, broker: Broker) -> None:
    """No publish is confirmed into a file that was removed: the next one raises, and later ones use a new file."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("lost.with.the.file"))
    site.remove()

    with pytest.raises(BrokerUnavailable, match=r"bridge\.db: it was removed or replaced"):
        await publisher.publish(an_event("unconfirmed"))

    await broker.declare([Queue("default")])
    await publisher.publish(an_event("last"))
    another = open_broker(site.url, "bridge")
    assert await names_until_last(await consuming(another, "default")) == []
    await another.close()


async def removed_while_open(site: SqliteSite, delivery: Delivery) -> None:
    """Remove the file. The first use afterwards finds out, which may be a look of the consumer."""
    site.remove()
    with pytest.raises((BrokerUnavailable, DeliveryLost)):
        await delivery.ack()


async def replaced_while_closed(site: SqliteSite, _: Delivery) -> None:
    """Replace the file after a fork, which closes it."""
    forked = await asyncio.create_subprocess_exec("true", preexec_fn=lambda: None)  # which lets it fork, not spawn
    other = site.path.with_name("other.db")
    other.touch()
    other.replace(site.path)
    await forked.wait()


@pytest.mark.parametrize("replace", [removed_while_open, replaced_while_closed])
async def test_delivery_of_a_file_that_was_replaced(
    site: SqliteSite, broker: Broker, replace: Callable[[SqliteSite, Delivery], Awaitable[None]]
) -> None:
    """A delivery is lost with its file, and settles nothing in the file that replaced it. The first event of the new
    file is another message, although its number is the same."""
    await broker.declare([Queue("default")])
    publisher = broker.publisher()
    await publisher.publish(an_event("old"))
    consumer = await consuming(broker, "default", prefetch=2)
    old = await take(consumer)
    await replace(site, old)
    with suppress(BrokerUnavailable):  # the consumer may have opened the file again before it was replaced
        await broker.declare([Queue("default")])
    await broker.declare([Queue("default")])
    await publisher.publish(an_event("new"))
    new = await take(consumer)
    assert new.envelope.event.name == "new"
    assert new.token != old.token

    with pytest.raises(DeliveryLost, match="removed or replaced"):
        await old.ack()

    await new.ack()


@contextmanager
def full_disk() -> Iterator[None]:
    """Let this process write no file while the block runs."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_an_event_that_cannot_be_given_back_while_the_disk_is_full(
    site: SqliteSite, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker recalls an event from its line. It comes again when the disk has room."""
    await broker.declare([Queue("default")])
    await broker.publisher().publish(an_event())
    policy = from_table(DEFAULT, lambda: 0.5)
    replayer = Replayer({"default": Rules(30.0, Policies(policy, policy))}, ReplayTarget(), tell_nobody)
    consumer, slots, failed = broker.consumer(), Slots(1), asyncio.Event()
    worker = EventConsumer(consumer, slots, replayer)
    give_back = EventInFlight.give_back

    async def noted(held: EventInFlight) -> bool:
        done = await give_back(held)
        if not done:
            failed.set()
        return done

    monkeypatch.setattr(EventInFlight, "give_back", noted)
    await worker.start()
    taking = asyncio.create_task(worker.run())
    await until(lambda: "1 in line" in repr(slots))

    with full_disk():
        slots.recall(lambda each: True)
        await until(failed.is_set)

    await until(lambda: worker.taken == 2)
    taking.cancel()
    await asyncio.wait({taking})
    await worker.drain(0)
