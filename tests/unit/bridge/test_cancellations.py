"""Cancelled events, from the records of the log."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.cancellations import Cancellation, Cancellations, record_of
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.logs import decode_record, encode_record
from bridge.record_signatures import signature_of
from bridge.site_logs import CANCELLED_FOR
from tests.unit.bridge.examples import envelope

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENT = envelope()
CANCELLED = Cancellation(EVENT.event.id, False, "ana@web1", "withdrawn", NOW)


def folded(*wished: Cancellation, now: datetime = NOW) -> Cancellations:
    """Return the fold of these cancellations' records."""
    found = Cancellations()
    for each in wished:
        content = decode_record(encode_record(record_of(each)))
        assert content is not None
        found.add(content, now, "shop", NO_KEYS)
    return found


def test_a_cancelled_event_may_not_begin() -> None:
    """In its first round, whenever it is due."""
    later = EVENT._replace(round_began=NOW + timedelta(days=1))

    assert folded(CANCELLED).of(EVENT) == folded(CANCELLED).of(later) == CANCELLED
    assert folded(replace(CANCELLED, event="another")).of(EVENT) is None


def test_a_redrive_after_the_cancellation_counts_more() -> None:
    """A redrive before it does not."""
    assert folded(CANCELLED).of(EVENT.next_round(NOW + timedelta(seconds=1))) is None
    assert folded(CANCELLED).of(EVENT.next_round(NOW - timedelta(seconds=1))) == CANCELLED


def test_old_cancellations_are_forgotten() -> None:
    """So that the fold stays small."""
    old = [replace(CANCELLED, event=str(number), time=NOW + timedelta(seconds=number)) for number in range(3)]
    found = folded(*old)

    found.add(
        record_of(replace(CANCELLED, time=NOW + CANCELLED_FOR)),
        NOW + CANCELLED_FOR + timedelta(seconds=2),
        "shop",
        NO_KEYS,
    )

    assert len(found) == 2
    assert len(folded(CANCELLED, now=NOW + CANCELLED_FOR + timedelta(seconds=1))) == 0


@pytest.mark.parametrize("damage", [{"kind": "pause"}, {"event": 5}, {"time": "soon"}, {"who": None}, {"why": []}])
def test_damaged_records_are_skipped_and_counted(damage: dict[str, Any]) -> None:
    """They change nothing."""
    found = Cancellations()

    assert found.add({**record_of(CANCELLED), **damage}, NOW, "shop", NO_KEYS) is None
    assert (len(found), found.skipped) == (0, 1)


def test_with_a_key_only_signed_cancellations_count() -> None:
    """A record without a signature, with that of another key or site, or with another content does not count. Nor does
    a signed pause count as a cancellation."""
    keys, found = LedgerKeys(("the secret of a site",)), Cancellations()
    signed = record_of(CANCELLED.signed("shop", keys))
    forged = [
        record_of(CANCELLED),
        record_of(CANCELLED.signed("shop", LedgerKeys(("another secret of a site",)))),
        record_of(CANCELLED.signed("another", keys)),
        {**signed, "running": True},
        {**signed, "signature": signature_of(signed, "control", "shop", keys)},
    ]

    assert [found.add(each, NOW, "shop", keys) for each in forged] == [None] * 5
    assert (len(found), found.skipped) == (0, 5)
    assert found.add(signed, NOW, "shop", keys) == CANCELLED


def test_the_error_of_the_dead_letter() -> None:
    """It says who cancelled the event and why."""
    assert CANCELLED.error.message == "cancelled by ana@web1: withdrawn"
    assert replace(CANCELLED, why="").error.message == "cancelled by ana@web1"
