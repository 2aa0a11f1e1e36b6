"""`bridge-move`: dead letters, messages of mailboxes, and what people have decided."""

from collections.abc import Sequence

import pytest

from bridge.attempt import Error
from bridge.brokers.any_broker.group_log import decide_about_group, read_group_decisions
from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.cancellations import Cancellation
from bridge.controls import Pause, Resume
from bridge.failures.states import GroupDecision
from bridge.handling import Priority
from bridge.ledger import Dead, Discarded, Letter, Transcript, open_letters
from bridge.ledger_keys import NO_KEYS
from tests.contract.acts import consuming, entries_of, eventually, now, take
from tests.contract.moving import Moving, failed
from tests.deadlines import within
from tests.limits import PATIENCE
from worker.control.controls_log import ControlsLog, new_pause
from worker.moving.tally import Kind


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
        await old.put("labels", body, priority, deadline=within(PATIENCE))

    report = await moving.run()

    bodies = []
    while (message := await new.fetch("labels", 0, deadline=within(PATIENCE))) is not None:
        bodies.append((message.body, message.priority))
        await message.ack()
    assert bodies == [(b"3", Priority.HIGH), (b"1", Priority.NORMAL), (b"2", Priority.NORMAL)]
    assert report.moved == {Kind.MESSAGES: 3}


async def test_a_message_in_hand_is_left(moving: Moving) -> None:
    """A message that a program has fetched is left to that program, and the report counts it as left."""
    mailboxes = moving.old.mailboxes()
    await mailboxes.put("labels", b"1", Priority.NORMAL, deadline=within(PATIENCE))
    assert await mailboxes.fetch("labels", 0, deadline=within(PATIENCE)) is not None

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
