"""The ledger of dead letters: reading it, and deciding."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.ledger import Decisions
from bridge.errors import BrokerRefused, Unroutable
from bridge.ledger import Dead, Discarded, Entry, Letter, Redriven, open_letters
from bridge.queues import Queue
from tests.contract.acts import a_letter, an_envelope, an_event, consuming, entries_of, names_until_last, now, take
from tests.contract.conftest import OpenBroker
from tests.limits import PATIENCE


async def _dead(broker: Broker, *names: str) -> list[Dead]:
    """Make dead letters of these events, in this order."""
    publisher = broker.publisher()
    consumer = await consuming(broker, "default", prefetch=1)
    for name in names:
        await publisher.publish(an_event(name))
        delivery = await take(consumer)
        await delivery.dead_letter(a_letter(delivery))
    await consumer.close()
    return [entry for entry in await entries_of(broker) if isinstance(entry, Dead)]


async def _dead_with(broker: Broker, bodies: Sequence[bytes]) -> None:
    """Make dead letters with these data, in this order."""
    publisher, consumer = broker.publisher(), await consuming(broker, "default", prefetch=1)
    for body in bodies:
        await publisher.publish(an_event(data=body))
        delivery = await take(consumer)
        await delivery.dead_letter(a_letter(delivery))
    await consumer.close()


async def _redrive(broker: Broker, decisions: Decisions, number: int) -> None:
    letter = await broker.ledger().letter(number)
    assert letter is not None
    await decisions.redrive(number, letter.revived(now()), letter.queue, "ada", "fixed in v2")


async def test_empty(broker: Broker) -> None:
    """A new ledger has no entries and no letters."""
    await broker.declare([Queue("default")])

    assert await entries_of(broker) == []
    assert await broker.ledger().letter(1) is None


async def test_a_letter_that_is_added_is_open(broker: Broker, another_broker: OpenBroker) -> None:
    """A letter of another broker is like one that died here: it is read whole, and can be redriven."""
    await broker.declare([Queue("default")])
    (dead,) = await _dead(broker, "died.here")
    ledger = broker.ledger()
    died = await ledger.letter(dead.number)
    assert died is not None
    moved = replace(died, envelope=an_envelope(an_event("died.elsewhere")))

    await ledger.add(moved)
    await ledger.close()

    here = another_broker().ledger()
    (_, added) = open_letters([entry async for entry in here.entries()]).values()
    assert await here.letter(added.number) == moved
    async with here.deciding() as decisions:
        await _redrive(broker, decisions, added.number)
    assert (await take(await consuming(broker, "default"))).envelope.event == moved.envelope.event
    await here.close()


async def test_oldest_first(broker: Broker) -> None:
    """Entries are read in the order in which they were written, with rising numbers."""
    await broker.declare([Queue("default")])

    dead = await _dead(broker, "first", "second", "third")

    assert [entry.event_name for entry in dead] == ["first", "second", "third"]
    assert [entry.number for entry in dead] == sorted({entry.number for entry in dead})


async def test_no_such_letter(broker: Broker) -> None:
    """A number beyond the end, or beyond what the broker can count, or the number of a decision, has no letter."""
    await broker.declare([Queue("default")])
    (dead,) = await _dead(broker, "first")
    async with broker.ledger().deciding() as decisions:
        await decisions.discard(dead.number, "ada", "")
    decision = (await entries_of(broker))[-1]

    for number in (dead.number + 1000, 2**63, 10**30, decision.number):
        assert await broker.ledger().letter(number) is None


async def test_letters_by_number(broker: Broker) -> None:
    """Letters that are requested together arrive in the requested order: also large ones, between decisions, backwards,
    and with numbers that are no letter's."""
    await broker.declare([Queue("default")])
    bodies = [b"%d" % number * (3_000_000 if 20 <= number <= 26 else 1) for number in range(80)]
    await _dead_with(broker, bodies[:30])
    async with broker.ledger().deciding() as decisions:
        for entry in await entries_of(broker):
            await decisions.discard(entry.number, "ada", "")
    await _dead_with(broker, bodies[30:])
    entries = await entries_of(broker)
    dead = [entry.number for entry in entries if isinstance(entry, Dead)]
    decision = next(entry.number for entry in entries if isinstance(entry, Discarded))
    numbers = (*dead, dead[0], decision, 10**30, dead[-1])

    found = [letter async for letter in broker.ledger().letters(numbers)]

    data = [letter.envelope.event.data if isinstance(letter, Letter) else letter for letter in found]
    assert data == [*bodies, bodies[0], None, None, bodies[-1]]


async def test_read_on(broker: Broker) -> None:
    """A reader that names its last number gets exactly the entries that are newer."""
    await broker.declare([Queue("default")])
    first, second = await _dead(broker, "first", "second")

    *_, third = await _dead(broker, "third")

    ledger = broker.ledger()
    assert [entry async for entry in ledger.entries(after=first.number)] == [second, third]
    assert [entry async for entry in ledger.entries(after=third.number)] == []


async def test_newest_first(broker: Broker) -> None:
    """The ledger can be read from its end, decisions too, and no further than its user wants."""
    await broker.declare([Queue("default")])
    ledger = broker.ledger()
    assert [entry async for entry in ledger.entries_back()] == []
    dead = await _dead(broker, *map(str, range(20)))
    async with ledger.deciding() as decisions:
        await decisions.discard(dead[0].number, "ada", "")

    assert [entry async for entry in ledger.entries_back()] == (await entries_of(broker))[::-1]
    async with aclosing(ledger.entries_back()) as entries:
        assert isinstance(await anext(entries), Discarded)
        assert await anext(entries) == dead[-1]


async def test_a_letter_is_decided_about_once(broker: Broker) -> None:
    """A letter that was decided about, and a number that is no letter's, are refused."""
    await broker.declare([Queue("default")])
    (dead,) = await _dead(broker, "first")

    async with broker.ledger().deciding() as decisions:
        await decisions.discard(dead.number, "ada", "")
        with pytest.raises(BrokerRefused, match="not open"):
            await decisions.discard(dead.number, "ada", "")
    async with broker.ledger().deciding() as decisions:
        for number in (dead.number, dead.number + 1, dead.number + 1000):
            with pytest.raises(BrokerRefused, match="not open"):
                await decisions.discard(number, "ada", "")


async def test_reading_changes_nothing(broker: Broker) -> None:
    """Reading leaves every entry and letter unchanged."""
    await broker.declare([Queue("default")])
    await _dead(broker, "first", "second")

    async def read() -> list[object]:
        entries = await entries_of(broker)
        return [entries, [await broker.ledger().letter(entry.number) for entry in entries]]

    assert await read() == await read() == await read()


async def test_two_readers_at_once(another_broker: OpenBroker) -> None:
    """Two readers in two processes, in step, each read all entries."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    dead = await _dead(first, "first", "second", "third")

    async with aclosing(_stepping(first)) as one, aclosing(_stepping(second)) as other:
        seen = [(await anext(one), await anext(other)) for _ in range(3)]

    assert seen == [(entry, entry) for entry in dead]


async def _stepping(broker: Broker) -> AsyncGenerator[Entry, None]:
    async for entry in broker.ledger().entries():
        yield entry


async def test_read_while_somebody_decides(another_broker: OpenBroker) -> None:
    """While one process has the right to decide, others can read, publish and consume."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    (dead,) = await _dead(first, "first")

    async with first.ledger().deciding():
        assert await entries_of(second) == [dead]
        await second.publisher().publish(an_event("last"))
        assert await names_until_last(await consuming(second, "default")) == []


async def test_redrive(broker: Broker) -> None:
    """A redriven event keeps its id and history, begins a new round in its queue, and the ledger names the actor."""
    await broker.declare([Queue("default"), Queue("audit", ("never",))])
    (dead,) = await _dead(broker, "account.created")

    async with broker.ledger().deciding() as decisions:
        await _redrive(broker, decisions, dead.number)

    delivery = await take(await consuming(broker, "default"))
    assert (delivery.envelope.event.id, delivery.envelope.round) == (dead.event_id, 2)
    entries = await entries_of(broker)
    decision = entries[-1]
    assert entries[:-1] == [dead]
    assert isinstance(decision, Redriven)
    assert decision == Redriven(decision.number, dead.number, decision.time, "ada", "fixed in v2")
    assert open_letters(entries) == {}


async def test_discard(broker: Broker) -> None:
    """A discarded letter is closed and stays readable; nothing is published."""
    await broker.declare([Queue("default")])
    first, second = await _dead(broker, "first", "second")

    async with broker.ledger().deciding() as decisions:
        await decisions.discard(first.number, "ada", "nobody needs it")

    entries = await entries_of(broker)
    decision = entries[-1]
    assert isinstance(decision, Discarded)
    assert decision == Discarded(decision.number, first.number, decision.time, "ada", "nobody needs it")
    assert open_letters(entries) == {second.number: second}
    assert await broker.ledger().letter(first.number) is not None
    await broker.publisher().publish(an_event("last"))
    assert await names_until_last(await consuming(broker, "default")) == []


async def test_dies_again(broker: Broker) -> None:
    """A redriven event that becomes a dead letter again is a new, open letter."""
    await broker.declare([Queue("default")])
    (dead,) = await _dead(broker, "account.created")
    async with broker.ledger().deciding() as decisions:
        await _redrive(broker, decisions, dead.number)
    delivery = await take(await consuming(broker, "default"))

    await delivery.dead_letter(a_letter(delivery))

    (open_letter,) = open_letters(await entries_of(broker)).values()
    assert open_letter.event_id == dead.event_id
    assert open_letter.number > dead.number


async def test_dead_in_two_queues(broker: Broker) -> None:
    """An event that died in two queues is two letters; deciding about one leaves the other open."""
    await broker.declare([Queue("mail", ("mail.#",)), Queue("audit", ("#",))])
    await broker.publisher().publish(an_event("mail.sent"))
    for queue in ("mail", "audit"):
        delivery = await take(await consuming(broker, queue))
        await delivery.dead_letter(a_letter(delivery))
    in_mail, in_audit = open_letters(await entries_of(broker)).values()

    async with broker.ledger().deciding() as decisions:
        await decisions.discard(in_mail.number, "ada", "")

    assert open_letters(await entries_of(broker)) == {in_audit.number: in_audit}


async def test_redrive_into_no_queue(broker: Broker) -> None:
    """Redriving a letter whose queue does not exist is refused, and the letter stays open."""
    await broker.declare([Queue("default")])
    (dead,) = await _dead(broker, "account.created")
    letter = await broker.ledger().letter(dead.number)
    assert letter is not None

    async with broker.ledger().deciding() as decisions:
        with pytest.raises(Unroutable, match="absent"):
            await decisions.redrive(dead.number, letter.revived(now()), "absent", "ada", "")

    assert open_letters(await entries_of(broker)) == {dead.number: dead}


async def test_deciding_is_one_at_a_time(another_broker: OpenBroker) -> None:
    """A second decider is refused at once, and may decide when the first one has finished."""
    first, second = another_broker(), another_broker()
    await first.declare([Queue("default")])
    (dead,) = await _dead(first, "account.created")

    async with first.ledger().deciding():
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(BrokerRefused, match="another bridge-dlq"):
                async with second.ledger().deciding():
                    pytest.fail("two decide at once")

    async with second.ledger().deciding() as decisions:
        await decisions.discard(dead.number, "bob", "")


async def test_deciding_ends_with_an_error(broker: Broker) -> None:
    """The right to decide is free again after an error in the block."""
    await broker.declare([Queue("default")])
    with pytest.raises(ZeroDivisionError):
        async with broker.ledger().deciding():
            raise ZeroDivisionError

    async with broker.ledger().deciding():
        pass


async def test_two_deciders_redrive_each_letter_once(another_broker: OpenBroker) -> None:
    """Two simultaneous deciders that read again inside the block redrive every letter exactly once."""
    brokers = [another_broker(), another_broker()]
    await brokers[0].declare([Queue("default")])
    dead = await _dead(brokers[0], *(f"event.{number}" for number in range(6)))

    async def redrive_some(broker: Broker) -> None:
        while open_letters(await entries_of(broker)):
            try:
                async with broker.ledger().deciding() as decisions:
                    for number in list(open_letters(await entries_of(broker)))[:2]:
                        await _redrive(broker, decisions, number)
            except BrokerRefused:
                await asyncio.sleep(0.01)

    await asyncio.gather(*map(redrive_some, brokers))

    redriven = [entry.letter for entry in await entries_of(brokers[0]) if isinstance(entry, Redriven)]
    assert sorted(redriven) == [entry.number for entry in dead]
    await brokers[0].publisher().publish(an_event("last"))
    assert len(await names_until_last(await consuming(brokers[0], "default"))) == 6
