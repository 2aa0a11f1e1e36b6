"""The doctor's findings about the embedded broker's file: a sentence for each problem."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.findings import Finding, FindingState
from bridge.brokers.contract.inspection import Examination, SiteOnBroker
from bridge.brokers.opening import inspect, open_broker, open_existing
from bridge.brokers.sqlite.inspection.file_findings import size
from bridge.errors import BrokerUnavailable
from bridge.queues import Queue
from tests.contract.acts import a_letter, an_event, consuming, entries_of, now, take
from tests.contract.sqlite_site import SqliteSite
from tests.root import as_root

QUEUES = (Queue("mail", ("mail.#",)), Queue("default"))


@pytest.fixture
def site(sqlite_site: SqliteSite) -> SqliteSite:
    """A file of the test's own."""
    return sqlite_site


@pytest.fixture
async def broker(site: SqliteSite) -> AsyncIterator[Broker]:
    """A broker on it, with its queues declared."""
    broker = open_broker(site.url, site.namespace)
    await broker.declare(QUEUES)
    yield broker
    await broker.close()


Served = Mapping[int, frozenset[str]]


async def examined(site: SqliteSite, queues: Sequence[Queue] = QUEUES, served: Served | None = None) -> Examination:
    """Return the findings about the file."""
    return await inspect(SiteOnBroker(site.url, site.namespace, queues, served=served or {}))


async def the_wrong_one(
    site: SqliteSite, subject: str, queues: Sequence[Queue] = QUEUES, served: Served | None = None
) -> Finding:
    """Return the only finding that reports a problem with this subject."""
    found = (await examined(site, queues, served)).findings
    (one,) = [each for each in found if each.subject == subject and each.state is FindingState.WRONG]
    return one


async def test_all_is_well(site: SqliteSite, broker: Broker) -> None:
    """With declared queues and a living consumer, every finding is ok, and each subject has one."""
    await broker.publisher().publish(an_event())
    consumer = await consuming(broker, "mail", "default")
    await take(consumer)

    examination = await examined(site)

    assert examination.reached
    assert [finding for finding in examination.findings if finding.state is not FindingState.OK] == []
    assert [finding.subject for finding in examination.findings] == [
        *("broker", "permissions", "file", "writing", "journal", "topology", "consumers", "waiting", "clock"),
        "dead letters",
    ]
    said = {finding.subject: finding.sentence for finding in examination.findings}
    assert said["consumers"] == f"1 (process {os.getpid()}), holding 1 event"


async def test_no_file(site: SqliteSite) -> None:
    """A missing file is reported, and not created."""
    examination = await examined(site)

    assert not examination.reached
    assert examination.findings[0].sentence == f"there is no file {site.path}"
    assert not site.path.exists()


async def test_a_file_that_is_no_database(site: SqliteSite) -> None:
    """A file that is no database counts as not reached."""
    site.path.write_bytes(b"a shopping list\n" * 100)

    examination = await examined(site)

    assert not examination.reached
    assert "file is not a database" in examination.findings[0].sentence


async def test_a_damaged_file(site: SqliteSite, broker: Broker) -> None:
    """The result of SQLite's own check is quoted, with a command that recovers the data."""
    publisher = broker.publisher()
    for _ in range(20):
        await publisher.publish(an_event(data=b"x" * 5000))
    await broker.close()
    with site.path.open("r+b") as file:
        file.seek(10 * 4096)
        file.write(os.urandom(4 * 4096))

    found = (await examined(site)).findings

    assert any("damaged" in each.sentence or "malformed" in each.sentence for each in found)
    assert any(".recover" in (each.next_step or "") for each in found)


async def test_a_file_that_somebody_has_locked(site: SqliteSite, broker: Broker) -> None:
    """Writing to a locked file is tried for some seconds; the other subjects are judged."""
    with closing(site.connection()) as other:
        other.execute("BEGIN IMMEDIATE")

        found = await the_wrong_one(site, "writing")

    assert found.sentence == "it cannot be written, tried for 2 s: database is locked"
    assert found.next_step == f"see which processes use it: fuser -v {site.path}"


async def test_another_namespace(site: SqliteSite, broker: Broker) -> None:
    """A file without tables of the namespace is reported."""
    site.namespace = "other"

    found = await the_wrong_one(site, "topology")

    assert found.sentence == "there are no tables of namespace 'other'"


async def test_tables_of_another_version(site: SqliteSite, broker: Broker) -> None:
    """Tables of another version are reported and not read."""
    with closing(site.connection()) as connection:
        connection.execute('UPDATE "bridge.version" SET version = 99')

    found = await the_wrong_one(site, "topology")

    assert found.sentence == "its tables are of version 99, this program knows 1"


async def test_queues_that_differ(site: SqliteSite, broker: Broker) -> None:
    """A queue that is not declared, or has other patterns, is named."""
    found = await the_wrong_one(site, "topology", (Queue("mail", ("mail.*",)), Queue("new"), Queue("default")))

    assert found.sentence == "not declared, or with other patterns: mail, new"


async def test_a_queue_that_the_settings_have_forgotten(site: SqliteSite, broker: Broker) -> None:
    """A queue that is no longer in the settings still takes events; it is reported with the command that removes it."""
    await broker.publisher().publish(an_event("mail.sent"))

    found = await the_wrong_one(site, "topology", (Queue("default"),))

    assert found.sentence == 'left over: queue mail is not in the settings, takes ["mail.#"] and holds 1 event'
    sql = (found.next_step or "").partition("when it is empty: ")[2]
    assert sql.startswith("sqlite3 ")
    with closing(sqlite3.connect(site.path)) as connection, connection:
        connection.execute(sql.partition("'")[2].removesuffix("'").replace("'\"'\"'", "'"))
        assert connection.execute('SELECT name FROM "bridge.queue"').fetchall() == [("default",)]


async def test_nobody_takes_events(site: SqliteSite, broker: Broker) -> None:
    """A killed worker does not count as a consumer, though its lock file exists."""
    await broker.publisher().publish(an_event())
    site.path.with_name(f"{site.path.name}.worker-0123").touch()

    found = await the_wrong_one(site, "consumers")

    assert found.sentence == "no consumer; 1 event ready"


async def test_a_queue_that_nobody_takes_events_from(site: SqliteSite, broker: Broker) -> None:
    """The worker that lives serves another queue."""
    await broker.publisher().publish(an_event("mail.sent"))
    await consuming(broker, "default")

    found = await the_wrong_one(site, "consumers", served={os.getpid(): frozenset({"default"})})

    assert found.sentence == "queue mail has no consumer and holds 1 event"


@pytest.mark.parametrize(
    ("served", "state", "why"),
    [
        ({os.getpid(): frozenset({"mail"})}, FindingState.OK, "a worker with other settings serves it"),
        ({}, FindingState.UNKNOWN, "serves it is unknown"),
        ({os.getpid(): frozenset({"default"})}, FindingState.WRONG, "left over: queue mail"),
        ({1: frozenset({"mail"})}, FindingState.UNKNOWN, "serves it is unknown"),
    ],
)
async def test_a_queue_of_other_settings(
    site: SqliteSite, broker: Broker, served: Served, state: FindingState, why: str
) -> None:
    """A queue that another worker serves is no fault. One that a process of another user may serve is unknown."""
    await broker.publisher().publish(an_event("mail.sent"))
    await consuming(broker, "mail", "default")

    found = (await examined(site, (Queue("default"),), served)).findings

    (about_mail,) = [each for each in found if each.subject == "topology" and "queue mail" in each.sentence]
    assert about_mail.state is state
    assert why in about_mail.sentence


async def test_an_event_that_waits_too_long(site: SqliteSite, broker: Broker) -> None:
    """An event that has been due for minutes is reported."""
    await broker.publisher().publish(an_event())
    with closing(site.connection()) as connection:
        connection.execute('UPDATE "bridge.event" SET due = due - 600 * 1000000')

    found = await the_wrong_one(site, "waiting")

    assert found.sentence == "ready: default 1; 0 wait for their time; the oldest has been due for 600 s"


async def test_a_clock_that_was_set_back(site: SqliteSite, broker: Broker) -> None:
    """An event from the future shows that the clock was set back."""
    await broker.publisher().publish(an_event()._replace(time=now() + timedelta(hours=1)))

    found = await the_wrong_one(site, "clock")

    assert "s in the future: the clock was set back" in found.sentence


@pytest.mark.parametrize(("letters", "state"), [(9, FindingState.OK), (10, FindingState.WRONG)])
async def test_open_dead_letters(site: SqliteSite, broker: Broker, letters: int, state: FindingState) -> None:
    """Some dead letters wait for a person, and are no problem of the site. Many are."""
    consumer = await consuming(broker, "default")
    for _ in range(letters + 1):
        await broker.publisher().publish(an_event())
        delivery = await take(consumer)
        await delivery.dead_letter(a_letter(delivery))
    first = (await entries_of(broker))[0].number
    async with broker.ledger().deciding() as decisions:
        await decisions.discard(first, "me", "known")

    found = [each for each in (await examined(site)).findings if each.state is not FindingState.OK]

    assert [each.subject for each in found] == (["dead letters"] if state is FindingState.WRONG else [])
    if found:
        assert found[0].sentence.startswith("10 dead letters without a decision, the oldest for ")


@pytest.mark.parametrize(
    ("whole", "free", "said"),
    [
        (40, 39, None),
        (1023, 500, None),
        (1024, 100, "has grown to 1.0 GiB, of which 100.0 MiB are free pages"),
        (64, 32, "has grown to 64.0 MiB, of which 32.0 MiB are free pages"),
    ],
)
def test_a_file_that_has_grown(tmp_path: Path, whole: int, free: int, said: str | None) -> None:
    """A large file, and one that is half empty, are reported with the way to shrink them. The sizes are in MiB."""
    found = size(tmp_path / "a.db", whole * 1024**2, free * 1024**2)

    assert [said in each.sentence for each in found if said] == ([] if said is None else [True])
    assert len(found) == (said is not None)
    assert all("VACUUM" in (each.next_step or "") for each in found)


STRANGER, OWNER = 54321, 54322


@pytest.fixture
async def of_another_user(broker: Broker, site: SqliteSite) -> AsyncIterator[SqliteSite]:
    """The site in a directory that everybody may look into, with all files of a user without a name."""
    await examined(site)  # imports what the stranger may not
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bridge.db"
        path.parent.chmod(0o755)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE events (name)")
        for each in (path, path.parent):
            os.chown(each, OWNER, OWNER)
        yield SqliteSite(f"sqlite:///{path}")


@as_root
@pytest.mark.parametrize(("folder", "mode"), [(0o755, 0o600), (0o755, 0o644), (0o700, 0o600), (0o700, 0o666)])
async def test_a_file_of_another_user(of_another_user: SqliteSite, folder: int, mode: int) -> None:
    """The only finding is unknown, and says as whom to look: the file may be well, and keeps its owner."""
    of_another_user.path.chmod(mode)
    of_another_user.path.parent.chmod(folder)
    os.seteuid(STRANGER)
    try:
        examination = await examined(of_another_user)
        with pytest.raises(BrokerUnavailable):
            await open_existing(of_another_user.url, "bridge").declare(QUEUES)
    finally:
        os.seteuid(0)

    (found,) = examination.findings
    belongs = f"{of_another_user.path} belongs to user #{OWNER}, and this is user #{STRANGER}, who may not use it"
    assert (examination.reached, found.state, found.sentence) == (False, FindingState.UNKNOWN, belongs)
    assert found.next_step == f"if the programs run as that user: sudo -u '#{OWNER}' bridge-doctor"


@as_root
async def test_a_file_that_its_owner_may_not_write(of_another_user: SqliteSite) -> None:
    """It is reported with the command that mends it."""
    of_another_user.path.chmod(0o400)
    os.seteuid(OWNER)
    try:
        found = await the_wrong_one(of_another_user, "permissions")
    finally:
        os.seteuid(0)

    path = of_another_user.path
    assert found.sentence == f"{path} cannot be read and written by user #{OWNER}, to whom {path} belongs"
    assert found.next_step == f"chmod u+rwX {path}"


@as_root
async def test_a_directory_that_the_owner_of_the_file_may_not_write(of_another_user: SqliteSite) -> None:
    """SQLite makes its journal there, so the file needs another directory. That of somebody else is not given away."""
    folder = of_another_user.path.parent
    os.chown(folder, 0, 0)
    os.seteuid(OWNER)
    try:
        found = await the_wrong_one(of_another_user, "permissions")
    finally:
        os.seteuid(0)

    assert found.sentence.startswith(f"{folder} cannot be read and written by user #{OWNER}, ")
    assert found.next_step == "a directory of this user's own"


async def test_a_disk_that_is_mounted_read_only(
    site: SqliteSite, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither another user nor another mode would help."""
    monkeypatch.setattr(os, "access", lambda path, mode, **_: not mode & os.W_OK)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))

    found = await the_wrong_one(site, "file system")

    assert found.sentence == f"{site.path.parent} is mounted read-only"


async def test_a_disk_that_is_nearly_full(site: SqliteSite, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nearly full disk is reported before SQLite refuses an event."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 1024**2))

    found = await the_wrong_one(site, "disk")

    assert found.sentence == f"5 MiB are free at {site.path.parent}"


async def test_records_of_the_ledger_that_cannot_be_read(site: SqliteSite) -> None:
    """Rows of the ledger that another program has damaged are counted, with the reason of the first."""
    broker = open_broker(site.url, site.namespace)
    await broker.declare([Queue("default")])
    await broker.close()
    with closing(site.connection()) as connection:
        for kind in ("other", 7):
            connection.execute(f'INSERT INTO "{site.namespace}.ledger" (kind, time) VALUES (?, 0)', (kind,))

    found = await the_wrong_one(site, "ledger")

    assert found.sentence == "2 records do not count, by number 1, 2: a damaged row of the ledger: unknown kind 'other'"


async def test_a_reader_that_does_not_end(site: SqliteSite, broker: Broker) -> None:
    """A transaction that stays open keeps the log from being moved; the finding names the process that holds it."""
    with closing(site.connection()) as reader:
        reader.execute("BEGIN")
        reader.execute(f'SELECT count(*) FROM "{site.namespace}.event"').fetchone()
        publisher = broker.publisher()
        for _ in range(6):
            await publisher.publish(an_event("mail.x", data=bytes(1024**2)))
        consumer = await consuming(broker, "mail", "default")
        assert consumer.live

        found = await the_wrong_one(site, "journal")

        assert found.sentence.startswith(f"process {os.getpid()} reads without end, so 6.")
        assert found.next_step == f"end its transaction, or the process: ps -fp {os.getpid()}"
        reader.execute("ROLLBACK")
    (journal,) = [each for each in (await examined(site)).findings if each.subject == "journal"]
    assert journal.state is FindingState.OK
