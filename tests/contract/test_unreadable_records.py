"""Records of the ledger that another program has written: each is read by itself, and none hides another."""

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pamqp.commands import Basic

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.ledger import Dead, Letter, Redriven, Skipped, open_letters
from bridge.letter_text import encode_decision, encode_letter
from bridge.queues import Queue
from tests.contract.acts import (
    a_letter,
    an_event,
    consuming,
    entries_of,
    eventually,
    now,
    take,
)
from tests.contract.dead_letter_program import Dlq
from tests.contract.rabbitmq_site import RabbitSite
from tests.contract.sqlite_site import SqliteSite
from tests.unit.bridge.examples import letter

WRONG: tuple[Any, ...] = (None, True, -1, 1e400, 10**400, 2**63, "\ud800", "x" * 300, [], {"a": {"b": []}})


async def _die(broker: Broker, name: str) -> None:
    await broker.publisher().publish(an_event(name))
    consumer = await consuming(broker, "default", prefetch=1)
    delivery = await take(consumer)
    await delivery.dead_letter(a_letter(delivery))
    await consumer.close()


@pytest.mark.rabbitmq
async def test_letters_and_decisions_with_wrong_values_on_rabbitmq(rabbit_site: RabbitSite) -> None:
    """A publisher may write anything into a letter or a decision: the ledger is read to its end, twice, and the honest
    letters can be decided."""
    broker = open_broker(rabbit_site.url, rabbit_site.namespace)
    await broker.declare([Queue("default")])
    await _die(broker, "first")
    wrong = 0
    keys = {"bridge-letter": "letter.default", "bridge-decision": "decision"}
    for header, text in (("bridge-letter", encode_letter(letter())), ("bridge-decision", _a_decision())):
        fields = json.loads(text)
        for key in fields:
            for value in WRONG:
                properties = Basic.Properties(headers={header: json.dumps(fields | {key: value})})
                await rabbit_site.publish_raw(f"{rabbit_site.namespace}.dlx", keys[header], b"", properties)
                wrong += 1
    await _die(broker, "last")

    entries = await eventually(lambda: entries_of(broker), lambda entries: len(entries) == wrong + 2)

    assert await entries_of(broker) == entries
    assert [entry.event_name for entry in entries if isinstance(entry, Dead)][:: len(entries)] == ["first"]
    last = entries[-1]
    assert isinstance(last, Dead)
    assert last.event_name == "last"
    assert any(isinstance(entry, Skipped) for entry in entries)
    for number in [entry.number for entry in entries if isinstance(entry, Dead)]:
        assert await broker.ledger().letter(number) is not None
    async with broker.ledger().deciding() as decisions:
        await decisions.discard(last.number, "ada", "")
    assert last.number not in open_letters(await entries_of(broker))
    await broker.close()


def _a_decision() -> str:
    return encode_decision(Redriven(0, 10**9, now(), "ada", "fixed"))


async def test_damaged_rows_on_sqlite(sqlite_site: SqliteSite) -> None:
    """A row with values of other types, or text that is not UTF-8, is counted. The other rows are read."""
    broker = open_broker(sqlite_site.url, sqlite_site.namespace)
    await broker.declare([Queue("default")])
    for name in ("first", "damaged", "last"):
        await _die(broker, name)
    first, damaged, last = await entries_of(broker)
    table = f'"{sqlite_site.namespace}.ledger"'
    for column, value in (
        *(("time", 2**62), ("time", "then"), ("attempts", "many"), ("attempts", -1), ("kind", "other"), ("kind", 7)),
        *(("queue", None), ("event_name", b"\xff\xfe"), ("error_message", None), ("event_id", b"\x80")),
    ):
        with closing(sqlite_site.connection()) as connection:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE number = ?", (value, damaged.number))

        entries = await entries_of(broker)

        assert [entry for entry in entries if isinstance(entry, Dead)] == [first, last]
        assert [entry.number for entry in entries if isinstance(entry, Skipped)] == [damaged.number]
        with closing(sqlite_site.connection()) as connection:
            connection.execute(
                f"UPDATE {table} SET time = 0, attempts = 1, kind = 'dead', queue = '', event_name = '', event_id = '',"
                " error_message = '' WHERE number = ?",
                (damaged.number,),
            )
    await broker.close()


@pytest.mark.parametrize("head", [None, 7, b"\xff", "{", '{"letter":1}', "[" * 100_000])
async def test_a_damaged_letter_on_sqlite_is_that_letters_alone(sqlite_site: SqliteSite, head: object) -> None:
    """Letters before and after a letter with damaged content are read together with it."""
    broker = open_broker(sqlite_site.url, sqlite_site.namespace)
    await broker.declare([Queue("default")])
    for name in ("first", "damaged", "last"):
        await _die(broker, name)
    numbers = [entry.number for entry in await entries_of(broker)]
    with closing(sqlite_site.connection()) as connection:
        connection.execute(
            f'UPDATE "{sqlite_site.namespace}.ledger" SET head = ?, data = NULL WHERE number = ?', (head, numbers[1])
        )

    found = [found async for found in broker.ledger().letters(numbers)]

    assert [isinstance(each, Letter) for each in found] == [True, False, True]
    await broker.close()


def _put(site: SqliteSite | RabbitSite, dlq: Dlq, queue: str) -> None:
    """Add a letter to the ledger as a foreign program that names any queue."""
    text = encode_letter(letter(queue=queue))
    if isinstance(site, SqliteSite):
        dlq.die("foreign")
        with closing(site.connection()) as connection:
            connection.execute(f'UPDATE "{site.namespace}.ledger" SET head = ? WHERE event_name = ?', (text, "foreign"))
        return
    properties = Basic.Properties(headers={"bridge-letter": text})
    asyncio.run(site.publish_raw(f"{site.namespace}.dlx", f"letter.{queue}"[:255], b"", properties))


@pytest.mark.parametrize("queue", ["q" * 250, "no such queue"])
def test_a_redrive_skips_a_letter_whose_queue_cannot_exist(site: Any, tmp_path: Path, queue: str) -> None:
    """The letters before and after it are redriven, and the report names it."""
    dlq = Dlq.on(site, tmp_path)
    dlq.die("first.one")
    _put(site, dlq, queue)
    dlq.die("last.one")

    result = dlq("redrive", "--all", "--yes")

    assert result.exit_code == 1
    assert "Redriven: 2 dead letters" in result.output
    assert "there is no queue" in result.output
    assert {each.envelope.event.name for each in dlq.delivered("default", 2)} == {"first.one", "last.one"}


@pytest.mark.rabbitmq
def test_the_program_says_what_it_leaves_out(rabbit_site: RabbitSite, tmp_path: Path) -> None:
    """List and redrive count the records that cannot be read, and name them by number and reason."""
    dlq = Dlq.on(rabbit_site, tmp_path)
    for text in ("{", "[]"):
        properties = Basic.Properties(headers={"bridge-decision": text})
        asyncio.run(rabbit_site.publish_raw(f"{rabbit_site.namespace}.dlx", "decision", b"", properties))
    dlq.die("order.paid")

    for words in (("list",), ("redrive", "--all", "--dry-run")):
        result = dlq(*words)
        assert result.exit_code == 0
        assert "Left out: 2 records of the ledger, by number:" in result.output
        assert "  1: a decision that cannot be read: expected an object, got a list" in result.output
        assert "order.paid" in result.output
