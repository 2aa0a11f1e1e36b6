"""Logs: named, append-only lists of records."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.logs import Log, Records
from bridge.errors import TooLarge
from bridge.logs import MAX_RECORD, Record, Retention
from tests.contract.acts import eventually
from tests.contract.conftest import OpenBroker, Site
from tests.limits import PATIENCE


async def records_of(log: Log, after: int = -1) -> list[Record]:
    """Return the records after a position."""
    return [record async for record in log.read(after)]


async def contents_of(log: Log, after: int = -1) -> list[Any]:
    """Return the number in each record after a position."""
    return [record.content["n"] for record in await records_of(log, after)]


async def the_next(records: Records, count: int) -> list[Any]:
    """Return the numbers in the next records of a follower."""
    async with asyncio.timeout(PATIENCE):
        return [(await anext(records)).content["n"] for _ in range(count)]


@pytest.fixture(params=["all", "some"])
def log(request: pytest.FixtureRequest, broker: Broker) -> Log:
    """A log that keeps all records, and one with a retention: they are read in different ways."""
    return broker.log("notes", Retention() if request.param == "all" else Retention(age=timedelta(days=1)))


async def test_read_in_order(log: Log) -> None:
    """Records are read in the order in which they were appended, with rising positions, each time the same."""
    for number in range(3):
        await log.append({"n": number, "text": "naïve\n"})

    records = await records_of(log)

    assert [record.content for record in records] == [{"n": number, "text": "naïve\n"} for number in range(3)]
    positions = [record.position for record in records]
    assert positions == sorted(set(positions))
    assert await records_of(log) == records


async def test_a_log_that_nobody_used(log: Log) -> None:
    """A log that was never used has no records, and reading creates nothing."""
    assert await records_of(log) == []


async def test_read_on(log: Log) -> None:
    """A reader continues after the position that it has read last."""
    await log.append({"n": 0})
    (first,) = await records_of(log)

    for number in (1, 2):
        await log.append({"n": number})

    assert await contents_of(log, first.position) == [1, 2]
    assert await contents_of(log, (await records_of(log))[-1].position) == []


async def test_logs_are_apart(broker: Broker) -> None:
    """Each name is a separate log."""
    notes, others = broker.log("notes"), broker.log("others")
    await notes.append({"n": "note"})
    await others.append({"n": "other"})

    assert (await contents_of(notes), await contents_of(others)) == (["note"], ["other"])


async def test_too_large(log: Log) -> None:
    """A record beyond the limit is refused, and the largest one is not."""
    with pytest.raises(TooLarge):
        await log.append({"n": "x" * MAX_RECORD})
    with pytest.raises(TooLarge):
        log.append_soon({"n": "x" * MAX_RECORD})
    largest = "x" * (MAX_RECORD - len('{"n":""}'))

    await log.append({"n": largest})

    assert await contents_of(log) == [largest]


async def test_appended_soon(log: Log) -> None:
    """Many records are written together, in order; a reader can continue in the middle of a batch."""
    for number in range(1000):
        log.append_soon({"n": number})

    records = await eventually(lambda: records_of(log), lambda found: len(found) == 1000)

    assert [record.content["n"] for record in records] == list(range(1000))
    assert await contents_of(log, records[499].position) == list(range(500, 1000))
    assert log.dropped == 0


async def test_closed_at_once(another_broker: OpenBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a log appends the records that still wait."""
    monkeypatch.setattr("bridge.brokers.any_broker.record_log.FLUSH_SECONDS", PATIENCE)
    first, second = another_broker(), another_broker()
    log = first.log("notes")
    log.append_soon({"n": 1})

    await log.close()

    assert await contents_of(second.log("notes")) == [1]


async def test_too_much_to_append_soon(log: Log) -> None:
    """Records that do not fit in memory are dropped and counted; the others are appended."""
    taken = 0
    while not log.dropped:
        log.append_soon({"n": taken, "filling": "x" * 60_000})
        taken += 1

    found = await eventually(lambda: contents_of(log), lambda found: len(found) == taken - 1)

    assert found == list(range(taken - 1))
    assert log.dropped == 1


async def test_follow_from_now(another_broker: OpenBroker) -> None:
    """A follower gets the records that any process appends after it began, and no older ones."""
    ours, theirs = another_broker().log("notes"), another_broker().log("notes")
    await ours.append({"n": "before"})

    async with ours.follow() as records:
        await theirs.append({"n": 1})
        assert await the_next(records, 1) == [1]
        await ours.append({"n": 2})
        theirs.append_soon({"n": 3})
        assert await the_next(records, 2) == [2, 3]


async def test_follow_what_nobody_has_used(another_broker: OpenBroker) -> None:
    """A follower may begin before the first record."""
    async with another_broker().log("notes").follow() as records:
        await another_broker().log("notes").append({"n": 1})
        assert await the_next(records, 1) == [1]


async def test_follow_from_a_position(log: Log) -> None:
    """A follower with a position gets the records after it, and then new ones."""
    for number in range(3):
        await log.append({"n": number})
    first = (await records_of(log))[0]

    async with log.follow(first.position) as records:
        assert await the_next(records, 2) == [1, 2]
        await log.append({"n": 3})
        assert await the_next(records, 1) == [3]


async def test_follow_from_the_beginning(log: Log) -> None:
    """A follower from the lowest position gets all records."""
    await log.append({"n": 0})

    async with log.follow(-1) as records:
        assert await the_next(records, 1) == [0]


async def test_a_wait_that_is_given_up_loses_nothing(log: Log) -> None:
    """A reader whose wait for the next record was cancelled gets that record the next time."""
    async with log.follow() as records:
        for number in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(records)
            await log.append({"n": number})
            assert await the_next(records, 1) == [number]


async def test_followed_while_it_is_deleted(log: Log, site: Site) -> None:
    """A follower of a log that an operator deletes continues at the beginning of the new one."""
    for number in range(3):
        await log.append({"n": number})
    async with log.follow(-1) as records:
        assert await the_next(records, 3) == [0, 1, 2]

        await site.drop_log("notes")
        await log.append({"n": "new"})

        assert await the_next(records, 1) == ["new"]


async def test_what_cannot_be_read_is_skipped(log: Log, site: Site) -> None:
    """Records that cannot be read are counted and skipped, by readers and by followers."""
    await log.append({"n": 1})
    for data in (b"", b"\xff", b"[1]", b'{"n": 2}\n{', b"[" * 100_000, b'"' + b"x" * 1_000_000 + b'"'):
        await site.append_raw("notes", data)
    await log.append({"n": 3})

    records = log.read()
    async with log.follow(-1) as followed:
        assert await the_next(followed, 3) == [1, 2, 3]
        assert followed.skipped == 6

    assert [record.content["n"] async for record in records] == [1, 2, 3]
    assert records.skipped == 6


@pytest.mark.parametrize("keep", [lambda: Retention(size=1024**2), lambda: Retention(age=timedelta(seconds=1))])
async def test_retention(broker: Broker, keep: Callable[[], Retention]) -> None:
    """Old or surplus records are removed when more are appended; the newest stay, and positions keep rising."""
    log, count = broker.log("notes", keep()), 0

    async def more() -> list[Any]:
        nonlocal count
        for _ in range(20):
            await log.append({"n": count, "filling": "x" * 60_000})
            count += 1
        return await contents_of(log)

    found = await eventually(more, lambda found: found[0] > 0)

    assert found == list(range(found[0], count))
    if keep().size:
        assert len(found) * 60_000 >= 1024**2


async def test_retention_of_an_index(log: Log, site: Site, another_broker: OpenBroker) -> None:
    """A reader with an index of a log that was deleted and created again reads the new log."""
    await log.append({"n": "old"})
    assert await contents_of(log) == ["old"]

    await site.drop_log("notes")
    await another_broker().log("notes").append({"n": "new"})

    assert await contents_of(log) == ["new"]


async def contents_back(log: Log, having: str = "", most: int = 1_000_000) -> list[Any]:
    """Return the numbers of the newest records with this text, the newest first."""
    found = []
    async with aclosing(log.read_back(having)) as records:
        async for record in records:
            found.append(record.content["n"])
            if len(found) == most:
                break
    return found


async def test_read_back(log: Log, site: Site) -> None:
    """Records come newest first, also over many batches, and within a batch; unreadable ones are left out."""
    await log.append({"n": -1})
    for number in range(0, 60, 2):
        await site.append_raw("notes", b'{"n": %d}\n{\n{"n": %d}' % (number, number + 1))

    assert await contents_back(log) == list(range(59, -2, -1))
    assert await contents_back(log, most=3) == [59, 58, 57]


async def test_read_back_what_nobody_has_used(log: Log) -> None:
    """A log that was never used has no records."""
    assert await contents_back(log) == []


async def test_read_back_what_has_a_text(log: Log) -> None:
    """Only records with the text are read, whatever characters it has."""
    texts = ['a"b', "naïve", "a\\b", "line\nend", "x"]
    for number, text in enumerate(texts):
        await log.append({"n": number, "text": text})
        log.append_soon({"n": number + 100, "text": "another"})

    await eventually(lambda: contents_back(log), lambda found: len(found) == 2 * len(texts))

    assert [await contents_back(log, text) for text in texts[:4]] == [[0], [1], [2], [3]]


async def test_read_back_after_a_retention(broker: Broker) -> None:
    """Of a log whose oldest records were removed, all others are read, and nothing else."""
    log, count = broker.log("notes", Retention(size=1024**2)), 0

    async def more() -> list[Any]:
        nonlocal count
        for _ in range(20):
            await log.append({"n": count, "filling": "x" * 60_000})
            count += 1
        return await contents_back(log)

    found = await eventually(more, lambda found: found[-1] > 0)

    assert found == list(range(count - 1, found[-1] - 1, -1))
