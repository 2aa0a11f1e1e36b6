"""What the doctor says of the embedded broker's file: a sentence for each thing that is wrong."""

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from bridge.brokers.contract import Broker
from bridge.brokers.examining import Place, examine
from bridge.brokers.opening import open_broker
from bridge.findings import Examination, Finding, State
from bridge.queues import Queue
from tests.contract.acts import a_letter, an_event, consuming, now, take
from tests.contract.sqlite_site import SqliteSite

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


async def examined(site: SqliteSite, queues: Sequence[Queue] = QUEUES) -> Examination:
    """What is said of the file."""
    return await examine(Place(site.url, site.namespace, queues))


async def the_wrong_one(site: SqliteSite, subject: str, queues: Sequence[Queue] = QUEUES) -> Finding:
    """The one finding that something is wrong with this subject."""
    found = (await examined(site, queues)).findings
    (one,) = [each for each in found if each.subject == subject and each.state is State.WRONG]
    return one


async def test_all_is_well(site: SqliteSite, broker: Broker) -> None:
    """With its queues declared and a consumer alive, every line is ok, and each subject has one."""
    await broker.publisher().publish(an_event())
    consumer = await consuming(broker, "mail", "default")
    await take(consumer)

    examination = await examined(site)

    assert examination.reached
    assert [finding for finding in examination.findings if finding.state is not State.OK] == []
    assert [finding.subject for finding in examination.findings] == [
        *("broker", "permissions", "file", "writing", "topology", "consumers", "waiting", "clock")
    ]
    said = {finding.subject: finding.sentence for finding in examination.findings}
    assert said["consumers"] == f"1 (process {os.getpid()}), holding 1 event"


async def test_no_file(site: SqliteSite) -> None:
    """It is said, and not made."""
    examination = await examined(site)

    assert not examination.reached
    assert examination.findings[0].sentence == f"there is no file {site.path}"
    assert not site.path.exists()


async def test_a_file_that_is_no_database(site: SqliteSite) -> None:
    """Whatever it is, it is not reached."""
    site.path.write_bytes(b"a shopping list\n" * 100)

    examination = await examined(site)

    assert not examination.reached
    assert "file is not a database" in examination.findings[0].sentence


async def test_a_damaged_file(site: SqliteSite, broker: Broker) -> None:
    """SQLite's own check is quoted, with the way to save what can be saved."""
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
    """It is tried for some seconds, and the rest is told."""
    with closing(site.connection()) as other:
        other.execute("BEGIN IMMEDIATE")

        found = await the_wrong_one(site, "writing")

    assert found.sentence == "it cannot be written, tried for 2 s: database is locked"
    assert found.next_step == f"see who writes: fuser -v {site.path}"


async def test_another_namespace(site: SqliteSite, broker: Broker) -> None:
    """A file without tables of the namespace says so."""
    site.namespace = "other"

    found = await the_wrong_one(site, "topology")

    assert found.sentence == "there are no tables of namespace 'other'"


async def test_tables_of_another_version(site: SqliteSite, broker: Broker) -> None:
    """Nothing more is read then."""
    with closing(site.connection()) as connection:
        connection.execute('UPDATE "bridge.version" SET version = 99')

    found = await the_wrong_one(site, "topology")

    assert found.sentence == "its tables are of version 99, this program knows 1"


async def test_queues_that_differ(site: SqliteSite, broker: Broker) -> None:
    """A queue that is not declared, or by other patterns, is named."""
    found = await the_wrong_one(site, "topology", (Queue("mail", ("mail.*",)), Queue("new"), Queue("default")))

    assert found.sentence == "not declared, or with other patterns: mail, new"


async def test_a_queue_that_the_settings_have_forgotten(site: SqliteSite, broker: Broker) -> None:
    """It goes on taking events; with the command that removes it."""
    await broker.publisher().publish(an_event("mail.sent"))

    found = await the_wrong_one(site, "topology", (Queue("default"),))

    assert found.sentence == 'left over: queue mail is not in the settings, takes ["mail.#"] and holds 1 event'
    sql = (found.next_step or "").partition("when it is empty: ")[2]
    assert sql.startswith("sqlite3 ")
    with closing(sqlite3.connect(site.path)) as connection, connection:
        connection.execute(sql.partition("'")[2].removesuffix("'").replace("'\"'\"'", "'"))
        assert connection.execute('SELECT name FROM "bridge.queue"').fetchall() == [("default",)]


async def test_nobody_takes_events(site: SqliteSite, broker: Broker) -> None:
    """A worker that was killed counts for nobody, though its lock file is there."""
    await broker.publisher().publish(an_event())
    site.path.with_name(f"{site.path.name}.worker-0123").touch()

    found = await the_wrong_one(site, "consumers")

    assert found.sentence == "nobody takes events; 1 event ready"


async def test_an_event_that_waits_too_long(site: SqliteSite, broker: Broker) -> None:
    """The oldest one is told of when it is due for minutes."""
    await broker.publisher().publish(an_event())
    with closing(site.connection()) as connection:
        connection.execute('UPDATE "bridge.event" SET due = due - 600 * 1000000')

    found = await the_wrong_one(site, "waiting")

    assert found.sentence == "ready: default 1; 0 wait for their time; the oldest is due for 600 s"


async def test_a_clock_that_was_set_back(site: SqliteSite, broker: Broker) -> None:
    """What is from the future gives it away."""
    await broker.publisher().publish(replace(an_event(), time=now() + timedelta(hours=1)))

    found = await the_wrong_one(site, "clock")

    assert "s in the future: the clock was set back" in found.sentence


async def test_a_dead_letter_is_no_fault(site: SqliteSite, broker: Broker) -> None:
    """It waits for a person, and the site is well."""
    await broker.publisher().publish(an_event())
    consumer = await consuming(broker, "default")
    delivery = await take(consumer)
    await delivery.dead_letter(a_letter(delivery))

    assert {finding.state for finding in (await examined(site)).findings} == {State.OK}


async def test_a_file_of_another_user(site: SqliteSite, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not write is told so, for root by root's own word."""
    monkeypatch.setattr(os, "access", lambda path, mode: path != site.path)

    found = await the_wrong_one(site, "permissions")

    assert found.sentence == f"{site.path} cannot be read and written by user {os.getuid()}"


async def test_a_disk_that_is_nearly_full(site: SqliteSite, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before SQLite refuses an event."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 1024**2))

    found = await the_wrong_one(site, "disk")

    assert found.sentence == f"5 MiB are free at {site.path.parent}"
