"""The envelope on the wire, and the history it keeps."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.attempt import MAX_MESSAGE, MAX_TRACEBACK, Error, cut_in_the_middle
from bridge.envelope import FIRST_ATTEMPTS_KEPT, LAST_ATTEMPTS_KEPT, MAX_HEAD, decode_head, encode_head
from bridge.errors import UnreadableEnvelope
from tests.unit.bridge.examples import ERROR, NOW, attempt, envelope, event


def test_a_new_envelope_comes_back_as_it_was() -> None:
    """Head and data together are the envelope."""
    sent = envelope(event=event(traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01", data=b"\xff\0"))
    assert decode_head(encode_head(sent), b"\xff\0") == sent


def test_a_tried_envelope_comes_back_as_it_was() -> None:
    """History, round, waits, finished listeners and errors survive."""
    tried = envelope(
        round=3,
        spent=2,
        waited=7.5,
        overloaded_since=NOW,
        deferred_again=4,
        finished=("a:b", "c:d"),
        first_error=ERROR,
        omitted=5,
        attempts=(replace(attempt(1), error=ERROR.without_traceback()), replace(attempt(2), error=None, release=None)),
    )
    assert decode_head(encode_head(tried), tried.event.data) == tried


@given(st.text(), st.text(max_size=50), st.binary(max_size=20))
def test_any_text_travels(text: str, name: str, data: bytes) -> None:
    """Whatever a foreign publisher calls things, what is written is what is read."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    sent = envelope(event=event(id=text, name=name, source=text, data=data), first_error=Error(text, text, text))
    assert decode_head(encode_head(sent), data) == sent


@pytest.mark.parametrize(
    "head",
    ["", "{", "[]", "null", "7", '{"v":99}', '{"v":1}', b"\xff", '{"v":1,"id":3}', "[" * 100_000],
)
def test_what_is_no_envelope_is_unreadable_and_nothing_else(head: str | bytes) -> None:
    """Damage and unknown versions are said in one way."""
    with pytest.raises(UnreadableEnvelope):
        decode_head(head, b"")


@pytest.mark.parametrize("key", ["id", "type", "source", "time", "datacontenttype", "began", "attempts", "first_error"])
@pytest.mark.parametrize("value", [None, 7, [], [3], {"a": 1}, "x", True, 1e400, "0001-01-01T00:00:00+14:00"])
def test_a_damaged_field_never_makes_a_stray_exception(key: str, value: object) -> None:
    """Each field with each kind of wrong value is read, or said to be unreadable."""
    fields = {**json.loads(encode_head(envelope(spent=1))), key: value}
    try:
        decode_head(json.dumps(fields), b"")
    except UnreadableEnvelope as error:
        assert "damaged" in str(error)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "\ud800"),
        ("source", "x" * 70_000),
        ("datacontenttype", "text/plain\r\nX: y"),
        ("traceparent", 5),
        ("traceparent", "a\nb"),
        ("spent", -1),
        ("spent", 1e400),
        ("round", 10**30),
        ("waited", -1),
        ("waited", 1e400),
        ("finished", "abc"),
    ],
)
def test_what_no_request_can_carry_is_damage(key: str, value: object) -> None:
    """An envelope that was read can be replayed, retried and written again."""
    fields = {**json.loads(encode_head(envelope(spent=1))), key: value}
    with pytest.raises(UnreadableEnvelope, match="damaged"):
        decode_head(json.dumps(fields), b"")


def test_a_long_history_loses_its_middle_and_says_so() -> None:
    """First and last attempts are what a person reads."""
    tried = envelope()
    for number in range(1, 101):
        tried = tried.remember(attempt(number))
    numbers = [kept.number for kept in tried.attempts]
    assert numbers[:FIRST_ATTEMPTS_KEPT] == list(range(1, FIRST_ATTEMPTS_KEPT + 1))
    assert numbers[-LAST_ATTEMPTS_KEPT:] == list(range(101 - LAST_ATTEMPTS_KEPT, 101))
    assert tried.omitted == 100 - len(numbers)


def test_the_first_error_keeps_its_traceback_and_later_ones_are_summaries() -> None:
    """The first traceback says how it began."""
    tried = envelope().remember(attempt(1)).remember(attempt(2, error=Error("KeyError", "k", "later")))
    assert tried.first_error == ERROR
    assert [kept.error and kept.error.traceback for kept in tried.attempts] == [None, None]


@pytest.mark.parametrize("letter", ["x", "€", "\0", '"', "\udc80"])
def test_errors_of_any_size_leave_a_head_that_rabbitmq_takes(letter: str) -> None:
    """The worst that apps can raise, for ever, leaves a head that fits, and says how many attempts are not in it."""
    worst = Error(letter * 500, letter * 1_000, letter * 20_000)
    tried = envelope()
    for number in range(100):
        tried = tried.remember(attempt(number, error=worst, release="€" * 200))
    head = encode_head(tried)
    assert len(head.encode()) <= MAX_HEAD
    read = decode_head(head, b"")
    assert len(read.attempts) + read.omitted == 100
    assert read.attempts[-1].number == 99
    assert read.first_error is not None


def test_half_a_surrogate_pair_is_spelled_out() -> None:
    """JSON may bring it and no encoding takes it; what is written can be encoded, and what is read as well."""
    tried = envelope(finished=("a:\udc80",)).remember(attempt(error=Error("E", "bad \ud800 text", "\udfff€")))
    read = decode_head(encode_head(tried).encode(), b"")
    assert read.finished == ("a:\\udc80",)
    assert read.attempts[0].error == Error("E", "bad \\ud800 text")
    assert read.first_error == Error("E", "bad \\ud800 text", "\\udfff€")


def test_a_new_round_forgets_what_policies_count_and_keeps_the_history() -> None:
    """A redriven event has all its attempts before it, and its past behind it."""
    tried = envelope(spent=4, waited=9.0, overloaded_since=NOW).remember(attempt(1))
    again = tried.next_round(NOW + timedelta(days=1))
    assert (again.round, again.spent, again.waited, again.overloaded_since) == (2, 0, 0.0, None)
    assert (again.event, again.attempts, again.attempt_number) == (tried.event, tried.attempts, 1)


def test_cutting_keeps_both_ends_within_the_limit() -> None:
    """The beginning says what it was, the end how it ended."""
    cut = cut_in_the_middle("a" * 5_000 + "b" * 5_000, 1_000)
    assert len(cut) <= 1_000
    assert cut.startswith("aaa")
    assert cut.endswith("bbb")
    assert "9000 characters cut" in cut


def test_a_bounded_error_fits_its_bounds() -> None:
    """Message and traceback each have their limit."""
    bounded = Error("E" * 900, "m" * 9_000, "t" * 90_000).bounded()
    assert bounded.traceback is not None
    assert (len(bounded.type), len(bounded.message), len(bounded.traceback)) == (200, MAX_MESSAGE, MAX_TRACEBACK)
