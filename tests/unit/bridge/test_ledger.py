"""Dead letters on the wire, the fold into open ones, and the filters."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.attempt import Error
from bridge.envelope import encode_head
from bridge.errors import UnreadableEnvelope
from bridge.ledger import (
    MAX_LETTER_HEAD,
    MAX_UNREAD,
    Dead,
    Discarded,
    Entry,
    Filter,
    Letter,
    Redriven,
    Transcript,
    decode_letter,
    encode_letter,
    grouped,
    open_letters,
    summary,
)
from tests.unit.bridge.examples import ERROR, NOW, attempt, envelope, event

HEADERS = 131_064 - 1_000
"""Bytes that RabbitMQ takes as headers, and some for the other ones."""


def letter(**changes: Any) -> Letter:
    """A dead letter with all its parts."""
    transcript = Transcript({"REQUEST_METHOD": "POST"}, 500, {"bridge-outcome": "failed"}, "body", "stderr")
    usual = Letter(NOW, "mail", "attempts used up", envelope(spent=1).remember(attempt()), ERROR, transcript)
    return replace(usual, **changes)


def dead(number: int, **changes: Any) -> Dead:
    """A letter's entry."""
    usual = Dead(number, NOW, "mail", "rejected", f"id-{number}", "account.created", "ValueError", "no such account", 3)
    return replace(usual, **changes)


def test_a_letter_comes_back_whole() -> None:
    """Envelope, queue, reason, errors and transcript."""
    written = letter()
    assert decode_letter(encode_letter(written), written.envelope.event.data) == written


@pytest.mark.parametrize("letters", ["x", "€", "\0", "\n"])
def test_a_letter_of_any_size_is_cut_to_its_bound_and_keeps_its_errors(letters: str) -> None:
    """A transcript of megabytes is cut in the middle, the errors are there."""
    huge = Transcript(
        {f"HTTP_{n}": letters * 5_000 for n in range(200)},
        200,
        {"x": letters * 90_000},
        letters * 10**6,
        letters * 10**6,
    )
    encoded = encode_letter(letter(transcript=huge))
    assert len(encoded.encode()) <= MAX_LETTER_HEAD
    assert decode_letter(encoded, b"").error == ERROR


def test_a_body_is_cut_before_the_parameters_are() -> None:
    """The request that was sent is what one wants to send again."""
    big = Transcript({"REQUEST_METHOD": "POST", "PATH_INFO": "/x" * 100}, 200, {}, "b" * 10**6, "")
    transcript = decode_letter(encode_letter(letter(transcript=big)), b"").transcript
    assert transcript is not None
    assert transcript.parameters["PATH_INFO"] == "/x" * 100
    assert "characters cut" in transcript.body


@pytest.mark.parametrize("head", ["", "[]", '{"letter":2}', '{"letter":1}', "null", b"\xff", "[" * 100_000])
def test_what_is_no_letter_is_unreadable_and_nothing_else(head: str | bytes) -> None:
    """Damage is said in one way."""
    with pytest.raises(UnreadableEnvelope):
        decode_letter(head, b"")


def test_decisions_close_letters_and_only_theirs() -> None:
    """Open is what nobody has decided about."""
    entries: list[Entry] = [dead(1), dead(2), dead(3), Redriven(4, 1, NOW, "ann"), dead(5), Discarded(6, 3, NOW, "bob")]
    assert list(open_letters(entries)) == [2, 5]


def test_a_decision_about_a_letter_that_is_gone_changes_nothing() -> None:
    """Retention may have taken it."""
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
def test_a_filter_takes_what_holds_in_all_it_says(chosen: Filter, taken: bool) -> None:
    """Of a letter that died two hours ago."""
    assert chosen.takes(dead(1), NOW + timedelta(hours=2)) is taken


def test_groups_count_by_event_queue_and_error() -> None:
    """The largest comes first, with its oldest and newest."""
    later = NOW + timedelta(hours=1)
    groups = grouped([dead(1), dead(2, queue="other"), dead(3, time=later), dead(4, error_type="KeyError")])
    assert (groups[0].queue, groups[0].error_type, groups[0].count) == ("mail", "ValueError", 2)
    assert (groups[0].oldest, groups[0].newest) == (NOW, later)
    assert sum(group.count for group in groups) == 4


def test_a_revived_letter_begins_a_new_round() -> None:
    """With the same event and its history."""
    revived = letter().revived(NOW + timedelta(days=1))
    assert (revived.round, revived.spent, revived.event) == (2, 0, event())
    assert len(revived.attempts) == 1


def test_an_unread_letter_is_revived_from_its_head_as_it_came() -> None:
    """A program that knows the version reads it at last."""
    original = envelope(event=event(id="kept", data=b"x"), spent=4)
    unread = letter(envelope=envelope(event=event(data=b"x")), unread=encode_head(original))
    assert unread.revived(NOW).event.id == "kept"


def test_an_unread_letter_that_still_cannot_be_read_says_so() -> None:
    """It stays where it is."""
    with pytest.raises(UnreadableEnvelope, match="version 99"):
        letter(unread=json.dumps({"v": 99})).revived(NOW)


@pytest.mark.parametrize("head", ["x" * MAX_UNREAD, '{"v":99,"a":"' + '\\"' * 20_000 + '"}', "€" * (MAX_UNREAD // 3)])
def test_an_unread_head_is_kept_whole_up_to_its_limit(head: str) -> None:
    """A later version of the program may read it."""
    written = letter(unread=head)
    read = decode_letter(encode_letter(written), written.envelope.event.data)
    assert (read.unread, read.unread_cut) == (head, 0)


@pytest.mark.parametrize("text", ["x", "€", "\0", '"'])
def test_an_unread_head_beyond_its_limit_is_cut_and_its_letter_stays(text: str) -> None:
    """It fits into the headers of RabbitMQ, says how much is missing, and cannot be put back."""
    written = letter(unread=text * 100_000, transcript=None)
    encoded = encode_letter(written)
    assert len(encoded.encode()) < HEADERS
    read = decode_letter(encoded, b"")
    assert read.unread is not None
    assert len(read.unread) + read.unread_cut == 100_000
    with pytest.raises(UnreadableEnvelope, match=f"{read.unread_cut} characters are cut"):
        read.revived(NOW)
    assert decode_letter(encode_letter(read), b"") == read


@pytest.mark.parametrize("text", ["x", "€", "\0", '"', "\udc80"])
def test_the_worst_letter_of_all_fits(text: str) -> None:
    """A history, an error and a transcript of whatever an app can say."""
    worst = Error(text * 500, text * 1_000, text * 20_000)
    tried = envelope()
    for number in range(100):
        tried = tried.remember(attempt(number, error=worst, release="€" * 200))
    transcript = Transcript({"A": text * 9_000}, 500, {"b": text * 9_000}, text * 90_000, text * 90_000)
    encoded = encode_letter(letter(envelope=tried, error=worst, transcript=transcript))
    assert len(encoded.encode()) < HEADERS
    read = decode_letter(encoded, b"")
    assert read.error == worst.bounded()
    assert read.transcript is not None


def test_a_summary_counts_the_attempts_of_all_rounds() -> None:
    """Those cut out of the history included."""
    tried = envelope()
    for number in range(50):
        tried = tried.remember(attempt(number))
    assert summary(7, letter(envelope=tried, error=Error("KeyError", "k"))) == Dead(
        7, NOW, "mail", "attempts used up", "0190-id", "account.created", "KeyError", "k", 50
    )
