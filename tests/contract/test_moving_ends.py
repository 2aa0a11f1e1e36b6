"""`bridge-move` beside others who use the old file: consumers, publishers, and a move that was killed."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridge.brokers.contract.claims import ClaimTaken
from bridge.brokers.opening import open_to_empty
from bridge.envelope import encode_head
from bridge.local_database.openers import is_open_elsewhere
from bridge.queues import Queue
from tests.contract.acts import an_event, consuming, soon, take, take_and_ack
from tests.contract.moving import Moving, envelopes
from worker.moving.tally import Kind


async def test_a_worker_that_starts_in_the_middle_takes_nothing_that_is_held(moving: Moving) -> None:
    """A worker that is started in the middle takes nothing of what the move has in hand, even when it comes due and
    several queues take it."""
    await moving.old.declare([Queue("audit", ("mail.#",))])
    await moving.old.publisher().publish(an_event("mail.sent"), soon())
    broker, emptying = open_to_empty(moving.file.url, moving.file.namespace)
    (held,) = (await emptying.hold(10, ())).events
    consumer = await consuming(moving.old, "mail", "audit")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await consumer.receive()
    await emptying.remove([held])
    await emptying.close()
    await broker.close()

    assert {queue: counts.ready for queue, counts in (await consumer.backlog()).items() if counts.ready} == {}


async def test_what_a_killed_move_held_is_free_again(moving: Moving) -> None:
    """Nothing of the old file waits for a clock, or counts as a delivery."""
    await moving.publish("mail.sent")
    await moving.old.close()
    with closing(moving.file.connection()) as connection:
        connection.execute('INSERT INTO "old.delivery" SELECT number, \'dead\', 0 FROM "old.event"')

    report = await moving.move()

    assert report.moved == {Kind.DUE: 1}
    delivery = await take(await consuming(moving.new, "mail"))
    assert not delivery.redelivered
    await delivery.ack()


async def test_an_event_without_a_queue_there_stays(moving: Moving, caplog: pytest.LogCaptureFixture) -> None:
    """The others are moved, and the log and the report name it."""
    await moving.publish("mail.sent")
    await moving.file.put_raw("gone", "mail.x", "{}", b"")
    with closing(moving.file.connection()) as connection:
        connection.execute('UPDATE "old.event" SET head = (SELECT head FROM "old.event" WHERE queue = \'mail\')')

    report = await moving.run()

    assert report.moved == {Kind.DUE: 1}
    assert report.left[Kind.DUE] == 1
    assert not report.complete
    assert "gone" in str(report.kept)
    assert "in queue gone" in caplog.text


async def test_a_file_that_others_have_open_is_watched(moving: Moving) -> None:
    """A late event of an old publisher is moved too; the watch ends with that publisher."""
    await moving.publish("mail.one")

    run = asyncio.create_task(moving.move(watch=True))
    consumer = await consuming(moving.new, "mail")
    await take_and_ack(consumer, 1)
    await moving.publish("mail.two")
    assert [each.event.name for each in await envelopes(consumer, 1)] == ["mail.two"]
    assert not run.done()
    await moving.old.close()
    report = await run

    assert report.moved == {Kind.DUE: 2}
    assert report.complete


async def test_an_event_of_a_publisher_that_has_just_ended_is_moved(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written after the last look, and nobody has the file open any more."""
    (late,) = await moving.publish("mail.late")
    await take_and_ack(await consuming(moving.old, "mail"), 1)
    looks: list[Path] = []

    def look(path: Path) -> bool:
        looks.append(path)
        if len(looks) == 1:
            with closing(moving.file.connection()) as connection:
                row = ("mail", 0, "mail.late", encode_head(late), late.event.data)
                connection.execute('INSERT INTO "old.event" (queue, due, name, head, data) VALUES (?, ?, ?, ?, ?)', row)
        return is_open_elsewhere(path)

    monkeypatch.setattr("worker.moving.move.is_open_elsewhere", look)

    report = await moving.run(watch=True)

    assert report.moved == {Kind.DUE: 1}
    assert report.complete


async def test_a_move_says_that_others_have_the_file_open(moving: Moving) -> None:
    """They may write to it later, so the move is not complete."""
    await moving.old.close()
    with closing(sqlite3.connect(moving.file.path)) as reader:
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        report = await moving.move()

    assert report.open_elsewhere
    assert not report.complete
    assert (await moving.move()).complete


async def test_one_move_at_a_time(moving: Moving) -> None:
    """A second one is refused, and names the first."""
    async with moving.old.claim("moving"):
        with pytest.raises(ClaimTaken):
            await moving.move()
