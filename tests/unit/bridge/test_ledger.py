"""The fold of entries into open letters, the filters, and letters that are redriven."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.attempt import Error
from bridge.envelope import encode_head
from bridge.errors import UnreadableEnvelope
from bridge.ledger import (
    Dead,
    Discarded,
    Entry,
    Filter,
    Redriven,
    Skipped,
    grouped,
    open_letters,
    summary,
)
from tests.unit.bridge.examples import NOW, attempt, envelope, event, letter


def dead(number: int, **changes: Any) -> Dead:
    """Return the entry of a letter, with these changes."""
    usual = Dead(number, NOW, "mail", "rejected", f"id-{number}", "account.created", "ValueError", "no such account", 3)
    return replace(usual, **changes)


def test_decisions_close_letters_and_only_theirs() -> None:
    """A decision closes its own letter, and the letters without a decision stay open."""
    entries: list[Entry] = [dead(1), dead(2), dead(3), Redriven(4, 1, NOW, "ann"), dead(5), Discarded(6, 3, NOW, "bob")]
    assert list(open_letters(entries)) == [2, 5]


def test_a_skipped_record_changes_nothing() -> None:
    """A record that cannot be read neither opens nor closes a letter."""
    assert list(open_letters([dead(1), Skipped(2, "damaged"), dead(3)])) == [1, 3]


def test_a_decision_about_a_letter_that_is_gone_changes_nothing() -> None:
    """A decision about a letter that a retention policy removed is ignored."""
    assert list(open_letters([Redriven(4, 1, NOW, "ann"), dead(5)])) == [5]


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        (Filter(), True),
        (Filter(event="account.*", queue="mail", error="VALUE"), True),
        (Filter(event="order.#"), False),
        (Filter(queue="other"), False),
        (Filter(error="such ACCOUNT"), True),
        (Filter(error="timeout"), False),
        (Filter(older=timedelta(hours=1)), True),
        (Filter(older=timedelta(hours=3)), False),
        (Filter(newer=timedelta(hours=3)), True),
        (Filter(newer=timedelta(hours=1)), False),
    ],
)
def test_a_filter_takes_a_letter_that_meets_all_conditions(chosen: Filter, taken: bool) -> None:
    """A filter with several conditions takes a letter, here two hours old, only if all of them hold."""
    assert chosen.takes(dead(1), NOW + timedelta(hours=2)) is taken


def test_groups_count_by_event_queue_and_error() -> None:
    """The largest group comes first, with the times of its oldest and newest letter."""
    later = NOW + timedelta(hours=1)
    groups = grouped([dead(1), dead(2, queue="other"), dead(3, time=later), dead(4, error_type="KeyError")])
    assert (groups[0].queue, groups[0].error_type, groups[0].count) == ("mail", "ValueError", 2)
    assert (groups[0].oldest, groups[0].newest) == (NOW, later)
    assert sum(group.count for group in groups) == 4


def test_a_revived_letter_begins_a_new_round() -> None:
    """A redriven letter has a new round with the same event and its history."""
    revived = letter().revived(NOW + timedelta(days=1))
    assert (revived.round, revived.spent, revived.event) == (2, 0, event())
    assert len(revived.attempts) == 1


def test_an_unread_letter_is_revived_from_its_head_as_it_came() -> None:
    """A program that can read the kept head redrives the envelope in it."""
    original = envelope(event=event(id="kept", data=b"x"), spent=4)
    unread = letter(envelope=envelope(event=event(data=b"x")), unread=encode_head(original))
    assert unread.revived(NOW).event.id == "kept"


def test_an_unread_letter_that_still_cannot_be_read_says_so() -> None:
    """A letter whose head is of an unknown version cannot be redriven."""
    with pytest.raises(UnreadableEnvelope, match="version 99"):
        letter(unread=json.dumps({"v": 99})).revived(NOW)


def test_a_summary_counts_the_attempts_of_all_rounds() -> None:
    """The count includes the attempts that were dropped from the history."""
    tried = envelope()
    for number in range(50):
        tried = tried.remember(attempt(number))
    assert summary(7, letter(envelope=tried, error=Error("KeyError", "k"))) == Dead(
        7, NOW, "mail", "attempts used up", "0190-id", "account.created", "KeyError", "k", 50, release="v1"
    )
