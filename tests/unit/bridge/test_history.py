"""The records of the history: written small, read tolerantly, filtered."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.handling import Handling
from bridge.history import Entry, Filter, entries_of, record_of, row_of, to_json
from bridge.logs import Content, encode_record
from bridge.moments import Settled
from bridge.outcome import Failed, Rejected, Succeeded
from bridge.settlement import Ack, DeadLetter, Drop, Halt, RetryAfter, Settlement
from tests.unit.bridge.examples import ERROR, NOW, envelope, event

DELIVERED = Settled(envelope(), "mail", Succeeded("v7"), Ack(), 0.25, 4720)
RETRIED = Settled(envelope(spent=1), "mail", Failed(ERROR), RetryAfter(envelope(), timedelta(seconds=30), ERROR), 0.5)
DEAD = Settled(envelope(), "mail", Rejected(ERROR), DeadLetter(envelope(), "rejected", ERROR), 0.5)
EXPIRED = Settled(envelope(), "mail", Failed(ERROR), DeadLetter(envelope(), "expired", ERROR), 0.0)
KEYED = Settled(envelope(event=event(handling=Handling(key="order-17"))), "mail", Succeeded(), Ack(), 0.25)


def read(record: Content) -> list[Entry]:
    """Return the entries of a record after it went through the log."""
    return list(entries_of(json.loads(encode_record(record))))


def entry_of(moment: Settled) -> Entry:
    """Return the entry of a moment, as a reader of the log gets it."""
    [entry] = read(record_of([row_of(moment, NOW.timestamp())], "web1", 4711))
    return entry


def test_a_success() -> None:
    """Its entry says what ran where, for how long, and which release."""
    assert entry_of(DELIVERED) == Entry(
        time=datetime(2026, 5, 4, 3, 2, 1, 123000, tzinfo=UTC),
        seconds=0.25,
        id="0190-id",
        name="account.created",
        queue="mail",
        attempt=1,
        end="delivered",
        host="web1",
        pid=4711,
        child=4720,
        release="v7",
    )


def test_a_retry() -> None:
    """Its entry has the error and the time of the next attempt."""
    entry = entry_of(RETRIED)

    assert (entry.end, entry.attempt, entry.is_final) == ("retried", 2, False)
    assert entry.due == entry.time + timedelta(seconds=30)
    assert (entry.error_type, entry.error_message) == ("ValueError", "no such account")


@pytest.mark.parametrize(("moment", "end", "reason"), [(DEAD, "dead", "rejected"), (EXPIRED, "expired", None)])
def test_a_dead_letter(moment: Settled, end: str, reason: str | None) -> None:
    """Its entry has the reason, unless the reason is the word for its end."""
    entry = entry_of(moment)

    assert (entry.end, entry.reason, entry.is_final, entry.due) == (end, reason, True, None)


@pytest.mark.parametrize(
    ("settlement", "end", "is_final"),
    [
        (RetryAfter(envelope(), timedelta(seconds=1), ERROR, snoozed=True), "snoozed", False),
        (Halt(envelope(), ERROR), "halted", False),
        (Drop(ERROR), "expired", True),
    ],
)
def test_an_attempt_that_did_not_fail(settlement: Settlement, end: str, is_final: bool) -> None:
    """A snoozed or halted event goes on; a dropped one has expired."""
    entry = entry_of(replace(DEAD, settlement=settlement))

    assert (entry.end, entry.is_final) == (end, is_final)


def test_the_key() -> None:
    """The key of the publisher is in the entry."""
    assert entry_of(KEYED).key == "order-17"


def test_a_settlement_of_a_later_version() -> None:
    """A settlement of an unknown type is named after it."""

    @dataclass(frozen=True)
    class Evaporated:
        pass

    unknown: Any = Evaporated()

    assert entry_of(replace(DELIVERED, settlement=unknown)).end == "evaporated"


def test_a_record_is_small() -> None:
    """A hundred attempts take some 100 bytes each."""
    rows = [row_of(DELIVERED, NOW.timestamp())] * 100

    assert len(encode_record(record_of(rows, "web1", 4711))) < 12_000


def test_a_long_message_is_cut() -> None:
    """An error's message takes at most 200 characters, and lone surrogates are escaped."""
    error = replace(ERROR, message="\ud800" + "x" * 10_000)

    entry = entry_of(replace(DEAD, settlement=DeadLetter(envelope(), "rejected", error)))

    assert entry.error_message == "\\ud800" + "x" * 199


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"kind": "lorry", "host": "web1", "pid": 1, "rows": [row_of(DELIVERED, 1.0)]},
        {"kind": "attempts", "host": 7, "pid": 1, "rows": [row_of(DELIVERED, 1.0)]},
        {"kind": "attempts", "host": "web1", "pid": "1", "rows": [row_of(DELIVERED, 1.0)]},
        {"kind": "attempts", "host": "web1", "pid": 1, "rows": {}},
        {"kind": "attempts", "host": "web1", "pid": 1, "rows": [None, [], [1, 2], ["x"] * 7, [1.0] * 7]},
        {"kind": "attempts", "host": "web1", "pid": 1, "rows": [[-1, 1, "i", "n", "q", 1, "dead"]]},
        {"kind": "attempts", "host": "web1", "pid": 1, "rows": [[1, 1, "i", "n", "q", 1, "dead", {"error": [1]}]]},
    ],
)
def test_what_cannot_be_read_is_left_out(record: dict[str, Any]) -> None:
    """Neither a record nor a row of another form raises."""
    assert read(record) == []


def test_the_others_of_a_record_are_read() -> None:
    """A row that cannot be read does not hide its neighbours."""
    row = row_of(DELIVERED, NOW.timestamp())

    assert len(read(record_of([row, [], row], "web1", 4711))) == 2


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Filter(), True),
        (Filter(name="account.*"), True),
        (Filter(name="order.#"), False),
        (Filter(queue="mail", end="delivered"), True),
        (Filter(queue="default"), False),
        (Filter(end="dead"), False),
        (Filter(key="order-17"), False),
        (Filter(since=NOW - timedelta(seconds=1), until=NOW), True),
        (Filter(since=NOW + timedelta(seconds=1)), False),
        (Filter(until=NOW - timedelta(seconds=1)), False),
    ],
)
def test_filters(wanted: Filter, takes: bool) -> None:
    """All conditions of a filter must hold."""
    assert wanted.takes(entry_of(DELIVERED)) is takes


def test_json() -> None:
    """Programs get every field, null if the attempt does not have it."""
    document = json.loads(json.dumps(to_json(entry_of(RETRIED))))

    assert document["error"] == {"type": "ValueError", "message": "no such account"}
    assert document["due"] == "2026-05-04T03:02:31.123000+00:00"
    assert (document["worker"], document["child"]) == ({"host": "web1", "pid": 4711}, None)
