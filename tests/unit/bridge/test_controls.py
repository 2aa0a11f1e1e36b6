"""The controls: what holds after the records of the log, in whatever way these are damaged, repeated or late."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.controls import Control, Controls, Pause, Purge, Resume, pause_of, record_of
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.logs import MAX_RECORD, Content, decode_record, encode_record

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MAIL = Pause("p1", "mail", None, None, "ana@web1", "provider down", NOW)
ORDERS = Pause("p2", None, "order.#", NOW + timedelta(hours=2), "ben@web1", "wrong prices", NOW)
KEYS = LedgerKeys(("a secret of the site",))


def written(control: Control, *held: Pause, keys: LedgerKeys = NO_KEYS) -> Content:
    """Return the record of a control as a reader of the log gets it."""
    content = decode_record(encode_record(record_of(control, held, "shop", keys)))
    assert content is not None
    return content


def folded(*records: Content, keys: LedgerKeys = NO_KEYS) -> Controls:
    """Return the fold of these records."""
    controls = Controls()
    for record in records:
        controls.add(record, "shop", keys)
    return controls


def resume(*ends: str) -> Resume:
    """Return the resume of these pauses."""
    return Resume(ends, "ana@web1", "it is back", NOW)


def test_pauses_hold_until_they_are_resumed_or_their_time_is_over() -> None:
    """The oldest pause comes first."""
    controls = folded(written(MAIL), written(ORDERS))

    assert controls.pauses(NOW) == (MAIL, ORDERS)
    assert controls.pauses(NOW + timedelta(hours=2)) == (MAIL,)
    assert folded(written(MAIL), written(ORDERS), written(resume("p1"))).pauses(NOW) == (ORDERS,)


@pytest.mark.parametrize(
    "records",
    [
        [written(MAIL), written(resume("p1")), written(MAIL)],  # a record that was appended twice
        [written(resume("p1")), written(MAIL)],  # the beginning of the log was removed, and a late writer
        [written(MAIL), written(resume("p1")), written(ORDERS, MAIL)],  # a writer that did not know of the resume
    ],
)
def test_an_ended_pause_never_holds_again(records: list[Content]) -> None:
    """Whatever comes after its end: a copy, or another record that carries it."""
    assert MAIL not in folded(*records).pauses(NOW)


def test_a_pause_is_kept_by_the_records_after_it() -> None:
    """A log whose oldest records were removed has the pauses that its records carry."""
    assert folded(written(ORDERS, MAIL)).pauses(NOW) == (ORDERS, MAIL)


def test_a_resume_ends_only_the_pauses_that_its_author_knew() -> None:
    """A pause of the same queue, decided at the same moment, holds."""
    other = replace(MAIL, id="p3")

    assert folded(written(MAIL), written(other), written(resume("p1"))).pauses(NOW) == (other,)


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "halt"},
        {"kind": None},
        {"id": 5},
        {"queue": None},
        {"events": "order.#"},
        {"queue": None, "events": "no pattern!"},
        {"until": "tomorrow"},
        {"time": None},
        {"who": 3},
        {"carried": 7},
        {"carried": [{"id": "x"}]},
    ],
)
def test_damaged_records_are_skipped_and_counted(damage: dict[str, Any]) -> None:
    """They change nothing, and the records around them count."""
    controls = folded(written(ORDERS), {**written(MAIL), **damage}, {}, written(resume()))

    assert (controls.pauses(NOW), controls.skipped) == ((ORDERS,), 2)


def test_with_a_key_only_signed_records_count() -> None:
    """A record without a signature, with that of another key or site, or with another content does not count."""
    signed = written(MAIL, keys=KEYS)
    forged = [
        written(MAIL),
        written(MAIL, keys=LedgerKeys(("another secret of a site",))),
        {**signed, "queue": "default"},
        {**signed, "carried": [written(ORDERS)]},
    ]

    assert folded(signed, keys=KEYS).pauses(NOW) == (MAIL,)
    assert folded(written(ORDERS, MAIL, keys=KEYS), keys=KEYS).pauses(NOW) == (ORDERS, MAIL)
    assert (folded(*forged, keys=KEYS).pauses(NOW), folded(*forged, keys=KEYS).skipped) == ((), 4)
    elsewhere = Controls()
    elsewhere.add(signed, "another", KEYS)
    assert elsewhere.skipped == 1


def test_a_purge_counts_once_with_its_newest_number() -> None:
    """The record before a purge has no number, the one after it has."""
    wished = Purge("u1", "mail", None, "ana@web1", "a test", NOW)
    done = replace(wished, events=3)

    controls = folded(written(wished), written(done), written(done))

    assert (controls.purges("mail"), controls.purges("default")) == ((done,), ())


def test_the_largest_record_fits_into_the_log() -> None:
    """Reasons of any length, and any number of pauses that hold."""
    long = replace(MAIL, why="😀" * 10_000, who="x" * 100)
    held = [replace(long, id=f"{number:032}") for number in range(300)]

    assert len(encode_record(record_of(long, held, "shop", KEYS))) < MAX_RECORD


def test_more_pauses_than_a_record_can_carry_take_turns() -> None:
    """Each record carries those that were not written for the longest time, so that all stay in a short log."""
    held = [replace(MAIL, id=f"{number:032}", queue=f"q{number}", why="x" * 500) for number in range(200)]
    controls, kept = folded(*map(written, held)), Controls()
    for number in range(10):
        record = written(resume(f"another {number}"), *controls.to_carry(NOW))
        controls.add(record, "shop", NO_KEYS)
        kept.add(record, "shop", NO_KEYS)

    assert len(kept.pauses(NOW)) == 200


def test_ten_years_of_a_site_that_pauses_hourly_stay_small() -> None:
    """The fold holds no pause, and was given as many records as the log keeps."""
    controls = folded()
    for number in range(10_000):
        controls.add(written(replace(MAIL, id=str(number))), "shop", NO_KEYS)
        controls.add(written(resume(str(number))), "shop", NO_KEYS)

    assert (controls.pauses(NOW), controls.skipped) == ((), 0)


def test_what_a_pause_covers() -> None:
    """A pause of a queue covers all its events; one of a pattern the events that match, in any queue."""
    assert pause_of([ORDERS, MAIL], "mail", "order.paid") is MAIL
    assert pause_of([ORDERS, MAIL], "default", "order.paid") is ORDERS
    assert pause_of([ORDERS, MAIL], "default", "account.created") is None
    assert pause_of([ORDERS, MAIL], "default") is None


def test_the_reason_for_people() -> None:
    """It names who, until when and why; a halt names its event."""
    assert ORDERS.reason == "paused by ben@web1 until 2026-11-20 14:00 UTC: wrong prices"
    assert replace(MAIL, event="e1", why="no stock").reason == "halted by event e1: no stock"
