"""The move of a SQLite file to another broker: everything arrives, in its order and with its history, and once."""

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.attempt import Attempt, Error
from bridge.brokers.any_broker.group_log import decide_about_group, read_group_decisions
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.claims import ClaimTaken
from bridge.brokers.contract.consuming import Consumer
from bridge.brokers.opening import open_broker, open_to_empty
from bridge.cancellations import Cancellation
from bridge.config.settings import Settings, load_settings
from bridge.controls import Pause, Resume
from bridge.envelope import Envelope, encode_head
from bridge.failures.states import GroupDecision
from bridge.handling import Handling, Priority
from bridge.ledger import Dead, Discarded, Letter, Transcript, open_letters
from bridge.ledger_keys import NO_KEYS
from bridge.local_database.openers import is_open_elsewhere
from bridge.queues import Queue
from bridge.retry_table import RetryTable
from tests.contract.acts import an_event, consuming, entries_of, eventually, now, soon, take, take_and_ack
from tests.contract.conftest import OpenBroker, Site
from tests.contract.sqlite_site import SqliteSite
from tests.deadlines import within
from worker.control.controls_log import ControlsLog, new_pause
from worker.moving.move import Move, OldFile, Report
from worker.moving.tally import Kind

TOML = """
[queues.default]
[queues.orders]
patterns = ["order.#"]
ordered = true
[queues.mail]
patterns = ["mail.#"]
"""
A_WHILE = timedelta(seconds=2)


@dataclass
class Moving:
    """An old file with its broker, and the settings of the new site."""

    file: SqliteSite
    old: Broker
    new: Broker
    settings: Settings
    stop: asyncio.Event

    async def run(self, *, watch: bool = False) -> Report:
        """Close the old broker, and move."""
        await self.old.close()
        return await self.move(watch=watch)

    async def move(self, *, watch: bool = False) -> Report:
        """Move while the old broker is open."""
        await self.new.declare(self.settings.queues())
        old = OldFile(self.file.url, self.file.path, self.file.namespace, None)
        async with asyncio.timeout(120):
            return await Move(old, self.new, self.settings, self.stop).run(watch=watch)

    async def publish(self, *names: str, handling: Handling | None = None) -> list[Envelope]:
        """Publish events to the old file, and return them as they are published."""
        publisher = self.old.publisher()
        events = [an_event(name) for name in names]
        if handling is not None:
            events = [replace(event, handling=handling) for event in events]
        for event in events:
            await publisher.publish(event)
        return [Envelope(event, round_began=event.time) for event in events]


async def a_move(url: str, namespace: str, folder: Path, open_another: OpenBroker) -> Moving:
    """Return a move from a file of its own to this namespace."""
    settings_file = folder / "bridge.toml"
    settings_file.write_text(TOML, "utf-8")
    given = {"broker_url": url, "namespace": namespace}
    settings = load_settings(command_line=given, file=str(settings_file))
    file = SqliteSite(f"sqlite:///{folder}/old.db", "old")
    old = open_broker(file.url, file.namespace)
    await old.declare(settings.queues())
    return Moving(file, old, open_another(namespace), settings, asyncio.Event())


@pytest.fixture
async def moving(site: Site, tmp_path: Path, another_broker: OpenBroker) -> AsyncIterator[Moving]:
    """A move to the site."""
    move = await a_move(site.url, site.namespace, tmp_path, another_broker)
    yield move
    await move.old.close()


@pytest.fixture
async def alone(site: Site, tmp_path: Path, another_broker: OpenBroker) -> AsyncIterator[Moving]:
    """A move to a namespace whose logs no other test writes to."""
    move = await a_move(site.url, f"t{uuid.uuid4().hex[:10]}", tmp_path, another_broker)
    yield move
    await move.old.close()


def failed(envelope: Envelope, text: str = "smtp is down") -> Envelope:
    """Return the envelope after an attempt that failed."""
    error = Error("ConnectionError", text, "Traceback: here")
    attempt = Attempt(envelope.round, envelope.attempt_number, now(), 0.25, "failed", "v41", error)
    return replace(envelope.remember(attempt), spent=envelope.spent + 1, waited=2.0)


async def envelopes(consumer: Consumer, count: int) -> list[Envelope]:
    """Return the next events, in the order in which they come."""
    return [delivery.envelope for delivery in await take_and_ack(consumer, count)]


async def nothing_left(new: Broker, *queues: str) -> None:
    """Check that these queues of the new broker are empty."""
    consumer = new.consumer()
    backlog = await consumer.backlog()
    assert [backlog[queue].ready for queue in queues if queue in backlog] == [0] * len(queues)


async def test_an_event_arrives_as_it_was(moving: Moving) -> None:
    """With its id, data, trace, priority, expiry, key and retry policy, in the queue that had it, and once."""
    handling = Handling(Priority.HIGH, soon(timedelta(hours=1)), "key 17", RetryTable(attempts=2))
    sent = await moving.publish("mail.sent", "other.thing", handling=handling)

    report = await moving.run()

    consumer = await consuming(moving.new, "default", "mail")
    deliveries = await take_and_ack(consumer, 2)
    assert {delivery.queue: delivery.envelope for delivery in deliveries} == {"mail": sent[0], "default": sent[1]}
    assert report.moved == {Kind.DUE: 2}
    assert report.complete
    await nothing_left(moving.new, "default", "mail")


async def test_an_event_of_several_queues_is_moved_for_those_that_have_it(moving: Moving) -> None:
    """The queue that has run it already does not run it again."""
    await moving.old.declare([replace(moving.settings.queues()[0], name="audit", patterns=("mail.#",))])
    await moving.publish("mail.sent")
    await take_and_ack(await consuming(moving.old, "audit"), 1)

    report = await moving.run()

    assert report.moved == {Kind.DUE: 1}
    await take_and_ack(await consuming(moving.new, "mail"), 1)


async def test_a_delayed_event_keeps_its_time(moving: Moving) -> None:
    """It runs at that time and not before, and one of next year waits."""
    due = soon(A_WHILE)
    event, far = an_event("mail.sent"), an_event("mail.sent")
    await moving.old.publisher().publish(event, due)
    await moving.old.publisher().publish(far, soon(timedelta(days=400)))

    report = await moving.run()

    delivery = await take(await consuming(moving.new, "mail"))
    assert now() >= due - timedelta(seconds=1)  # RabbitMQ keeps it to the second
    assert delivery.envelope == Envelope(event, round_began=due)
    assert report.moved == {Kind.DELAYED: 2}
    assert (await moving.new.operator().counts(["mail"])).waiting == 1
    await delivery.ack()


async def test_a_retry_keeps_its_history_and_its_time(moving: Moving) -> None:
    """The next attempt has the number that it would have had."""
    await moving.publish("mail.sent")
    delivery = await take(await consuming(moving.old, "mail"))
    tried = failed(delivery.envelope)
    due = soon(A_WHILE)
    await delivery.retry(tried, A_WHILE)

    report = await moving.run()

    delivery = await take(await consuming(moving.new, "mail"))
    assert now() >= due - timedelta(seconds=1)
    assert delivery.envelope == tried
    assert delivery.envelope.attempt_number == 2
    assert report.moved == {Kind.RETRYING: 1}
    await delivery.ack()


async def test_an_ordered_queue_keeps_its_order(moving: Moving) -> None:
    """Also if its first event waits for its retry: the events after it are moved after it."""
    sent = await moving.publish(*(f"order.n{number}" for number in range(6)))
    delivery = await take(await consuming(moving.old, "orders"))
    tried = failed(delivery.envelope)
    await delivery.retry(tried, A_WHILE)
    begun = now()

    report = await moving.run()

    assert now() - begun >= A_WHILE - timedelta(seconds=0.1)
    assert await envelopes(await consuming(moving.new, "orders"), 6) == [tried, *sent[1:]]
    assert report.complete


async def test_the_rest_does_not_wait_for_an_ordered_queue(moving: Moving) -> None:
    """Other queues are moved while the head of an ordered one waits for its retry; a stop leaves that one whole."""
    await moving.publish("order.one", "order.two", "mail.sent")
    delivery = await take(await consuming(moving.old, "orders"))
    await delivery.retry(delivery.envelope, timedelta(hours=1))
    await moving.old.close()

    run = asyncio.create_task(moving.move())
    await take_and_ack(await consuming(moving.new, "mail"), 1)
    moving.stop.set()
    report = await run

    assert report.moved == {Kind.DUE: 1}
    assert report.left[Kind.DUE] == 2
    assert not report.complete


async def test_priorities_are_kept(moving: Moving) -> None:
    """Each event is in the lane of its priority on the new broker too."""
    for name, priority in (("mail.low", Priority.LOW), ("mail.high", Priority.HIGH)):
        await moving.publish(*[name] * 3, handling=Handling(priority))

    await moving.run()

    async def ready() -> Mapping[Priority, int]:
        return (await moving.new.operator().counts(["mail"])).queues["mail"].ready

    await eventually(ready, lambda counts: counts == {Priority.HIGH: 3, Priority.NORMAL: 0, Priority.LOW: 3})


async def some_letters(moving: Moving, *names: str) -> list[Letter]:
    """Let events of these names die in the old file."""
    await moving.publish(*names)
    consumer = await consuming(moving.old, "mail")
    letters = []
    for _ in names:
        delivery = await take(consumer)
        transcript = Transcript({"PATH_INFO": "/ü"}, 500, {"x": "y"}, "body", "about to fail")
        error = Error("ValueError", "no such mail \N{SNOWMAN}", "Traceback: there")
        letters.append(Letter(now(), "mail", "rejected", failed(delivery.envelope), error, transcript))
        await delivery.dead_letter(letters[-1])
    return letters


async def letters_of(broker: Broker) -> list[Letter]:
    """Return the open letters of a broker, oldest first."""
    ledger = broker.ledger()
    numbers = list(open_letters([entry async for entry in ledger.entries()]))
    found = [letter async for letter in ledger.letters(numbers)]
    await ledger.close()
    return [letter for letter in found if isinstance(letter, Letter)]


async def test_dead_letters_are_moved_whole(moving: Moving) -> None:
    """With transcript, history and time; the old ledger says where each went, and the next move moves none again."""
    dead = await some_letters(moving, "mail.a", "mail.b", "mail.c")

    report = await moving.run()
    again = await moving.run()

    assert await letters_of(moving.new) == dead
    assert report.moved == {Kind.LETTERS: 3}
    assert again.moved == {}
    old = open_broker(moving.file.url, moving.file.namespace)
    decisions = [entry for entry in await entries_of(old) if isinstance(entry, Discarded)]
    await old.close()
    assert [moving.new.name in decision.note for decision in decisions] == [True] * 3


async def test_decided_letters_stay(moving: Moving) -> None:
    """A letter that somebody has discarded is not open on the new broker."""
    await some_letters(moving, "mail.a", "mail.b")
    entries = [entry for entry in await entries_of(moving.old) if isinstance(entry, Dead)]
    async with moving.old.ledger().deciding() as decisions:
        await decisions.discard(entries[0].number, "ana", "known")

    report = await moving.run()

    assert report.moved == {Kind.LETTERS: 1}
    assert [letter.envelope.event.name for letter in await letters_of(moving.new)] == ["mail.b"]


@pytest.mark.parametrize("queue", ["mail", "orders"])
async def test_an_event_that_cannot_be_read_is_moved_as_a_dead_letter(moving: Moving, queue: str) -> None:
    """It holds up no other event, and keeps what could not be read."""
    await moving.file.put_raw(queue, "mail.x", '{"v": 99}', b"\xff")
    await moving.publish("mail.sent", "order.placed")

    report = await moving.run()

    (letter,) = await letters_of(moving.new)
    assert (letter.reason, letter.unread, letter.envelope.event.data) == ("unreadable", '{"v": 99}', b"\xff")
    assert report.moved == {Kind.DUE: 2, Kind.LETTERS: 1}
    assert report.complete


async def test_messages_of_mailboxes_are_moved_in_their_order(moving: Moving) -> None:
    """With their priorities."""
    old, new = moving.old.mailboxes(), moving.new.mailboxes()
    for body, priority in ((b"1", Priority.NORMAL), (b"2", Priority.NORMAL), (b"3", Priority.HIGH)):
        await old.put("labels", body, priority, deadline=within(20))

    report = await moving.run()

    bodies = []
    while (message := await new.fetch("labels", 0, deadline=within(20))) is not None:
        bodies.append((message.body, message.priority))
        await message.ack()
    assert bodies == [(b"3", Priority.HIGH), (b"1", Priority.NORMAL), (b"2", Priority.NORMAL)]
    assert report.moved == {Kind.MESSAGES: 3}


async def test_a_message_in_hand_is_left(moving: Moving) -> None:
    """Whoever has fetched it settles it; the report counts it."""
    mailboxes = moving.old.mailboxes()
    await mailboxes.put("labels", b"1", Priority.NORMAL, deadline=within(20))
    assert await mailboxes.fetch("labels", 0, deadline=within(20)) is not None

    report = await moving.move()

    assert report.moved == {}
    assert report.left[Kind.MESSAGES] == 1


async def test_decisions_are_copied_once(alone: Moving) -> None:
    """A paused queue stays paused, a cancelled event stays cancelled, a known group stays known."""
    (envelope,) = await alone.publish("mail.sent")
    log = ControlsLog(alone.old, alone.file.namespace, NO_KEYS)
    pause = new_pause(queue="mail", who="ana", why="provider down")
    await log.decide(pause)
    await log.cancel(Cancellation(envelope.event.id, False, "ana", "twice", now()))
    known = GroupDecision("0123456789", "known", "ana", now(), "ticket 12")
    await decide_about_group(alone.old, known, alone.file.namespace, NO_KEYS)

    report = await alone.run()
    again = await alone.run()

    namespace = alone.settings.values.namespace
    new = ControlsLog(alone.new, namespace, NO_KEYS)
    await new.read()
    assert new.controls.pauses(now()) == (pause,)
    assert new.cancellations.of(envelope) is not None
    assert (await read_group_decisions(alone.new, namespace, NO_KEYS)).of("0123456789") == known
    assert report.moved == {Kind.DUE: 1, Kind.PAUSES: 1, Kind.CANCELLATIONS: 1, Kind.GROUPS: 1}
    assert again.moved == {}


async def test_a_pause_that_was_resumed_on_the_new_broker_does_not_come_back(alone: Moving) -> None:
    """The second move knows it by its id."""
    log = ControlsLog(alone.old, alone.file.namespace, NO_KEYS)
    pause = new_pause(queue="mail", who="ana", why="provider down")
    await log.decide(pause)
    await alone.run()
    new = ControlsLog(alone.new, alone.settings.values.namespace, NO_KEYS)
    await new.read()
    await new.decide(Resume((pause.id,), "ana", "up again", now()))

    again = await alone.run()

    async def paused() -> Sequence[Pause]:
        await new.read()
        return new.controls.pauses(now())

    await eventually(paused, lambda pauses: not pauses)
    assert again.moved == {}


async def test_the_move_waits_for_the_consumers_of_the_old_file(
    moving: Moving, caplog: pytest.LogCaptureFixture
) -> None:
    """An event in hand there is settled there; the others are moved when the consumer has ended."""
    caplog.set_level("INFO", "bridge")
    await moving.publish("mail.one", "mail.two")
    consumer = await consuming(moving.old, "mail", prefetch=1)
    delivery = await take(consumer)

    run = asyncio.create_task(moving.move())
    while "consumers still take events from the old file" not in caplog.text:  # it is logged by the task
        assert not run.done()
        await asyncio.sleep(0.02)
    await delivery.ack()
    await consumer.close()
    report = await run

    assert report.moved == {Kind.DUE: 1}
    assert report.left[Kind.DUE] == 0
    assert [each.event.name for each in await envelopes(await consuming(moving.new, "mail"), 1)] == ["mail.two"]


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
