"""The envelope on the wire, and the history that it keeps."""

import json
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.attempt import MAX_MESSAGE, MAX_TRACEBACK, Error, cut_in_the_middle
from bridge.envelope import FIRST_ATTEMPTS_KEPT, LAST_ATTEMPTS_KEPT, MAX_HEAD, decode_head, encode_head
from bridge.errors import TooLarge, UnreadableEnvelope
from bridge.handling import Handling, Priority
from bridge.reply import MAX_FINISHED
from bridge.retry_table import RetryTable
from tests.unit.bridge.examples import ERROR, NOW, attempt, envelope, event


def test_a_new_envelope_comes_back_as_it_was() -> None:
    """Decoding the head and the data of a new envelope returns the same envelope."""
    sent = envelope(event=event(traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01", data=b"\xff\0"))
    assert decode_head(encode_head(sent), b"\xff\0") == sent


def test_the_handling_comes_back_as_it_was() -> None:
    """Decoding returns the priority, expiry, key and retry policy that the publisher asked for."""
    retry = RetryTable(attempts=3, initial=timedelta(seconds=0.5), base=2.0, max=timedelta(minutes=5), jitter=0.0)
    handling = Handling(Priority.HIGH, NOW + timedelta(minutes=10), "order-17", retry)
    sent = envelope(event=event(handling=handling))
    assert decode_head(encode_head(sent), sent.event.data) == sent


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        {"priority": "urgent"},
        {"priority": 1},
        {"expires": "tomorrow"},
        {"key": "k" * 201},
        {"key": "\ud800"},
        {"retry": {}},
        {"retry": {"attempts": 3, "initial": -1, "base": 2, "max": 60, "jitter": 0}},
    ],
)
def test_a_damaged_handling_makes_the_envelope_unreadable(damaged: object) -> None:
    """A handling that cannot be read is an error that names it, not a guess."""
    head = json.loads(encode_head(envelope()))
    with pytest.raises(UnreadableEnvelope, match="damaged"):
        decode_head(json.dumps({**head, "handling": damaged}), b"")


def test_a_tried_envelope_comes_back_as_it_was() -> None:
    """Decoding returns the history, round, waits, finished listeners and errors of an envelope."""
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


@given(st.text(max_size=150), st.text(max_size=50), st.binary(max_size=20))
def test_any_text_travels(text: str, name: str, data: bytes) -> None:
    """An envelope is decoded unchanged, even if a foreign publisher chose unusual names and texts."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    sent = envelope(event=event(name=name, source=text, data=data), first_error=Error(text, text, text))
    assert decode_head(encode_head(sent), data) == sent


KEYS = ("id", "type", "source", "time", "datacontenttype", "began", "traceparent")
TEXTS = st.one_of(
    st.text("ab ~!.:-/", max_size=5),
    st.text(max_size=5),
    st.sampled_from(["a" * 255, "a" * 256, "a" * 1000, "a" * 1001, '"', "\\", "\x7f", "\n", "é", "é" * 1001]),
    st.sampled_from(["2026-07-01T10:00:00Z", "2026-07-01T12:00:00.5+02:00", "2026-07-01T10:00:00", "0001-01-01T00Z"]),
)


@given(st.dictionaries(st.sampled_from(KEYS), TEXTS, max_size=3))
def test_a_usual_head_is_read_as_any_other(changed: dict[str, str]) -> None:
    """A head as `encode_head` writes it, and one with the same fields and other spaces, are the same envelope or the
    same error."""
    fields = json.loads(encode_head(envelope(event=event(traceparent="00-1-2-01")))) | changed

    usual = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    assert read(usual) == read(json.dumps(fields))


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from([None, "00-1-2-01"]), st.booleans())
def test_a_usual_head_is_written_as_any_other(text: str, name: str, trace: str | None, late: bool) -> None:
    """A head without history has the same fields and form as the beginning of one with history."""
    deferred = event(id=text, name=name, source=text, content_type=name, traceparent=trace)
    usual = envelope(event=deferred, round_began=NOW + timedelta(hours=late))

    with_history = encode_head(usual._replace(spent=1))

    assert with_history == encode_head(usual).removesuffix("}") + ',"spent":1}'


def read(head: str) -> object:
    """Return the envelope of a head, or the text of the error."""
    try:
        return decode_head(head, b"data")
    except UnreadableEnvelope as error:
        return str(error)


@pytest.mark.parametrize("text", ["a" * 255, "0190-1", "a.b_c:d-E", "urn:uuid:1"])
def test_an_id_of_plain_characters_is_kept(text: str) -> None:
    """An id that is safe in headers, paths and file names stays as it is."""
    assert decode_head(encode_head(envelope(event=event(id=text))), b"").event.id == text


@pytest.mark.parametrize(
    "text", ["../../etc/passwd", "a b", "ü", "a\nb", "'; DROP TABLE", "a" * 256, "a/b", "%2e", "\0"]
)
def test_another_id_is_replaced_by_one_that_is_derived_from_it(text: str) -> None:
    """The derived id is a UUID, the same at each delivery, and different for different ids."""
    read = decode_head(encode_head(envelope(event=event(id=text))), b"").event.id
    again = decode_head(encode_head(envelope(event=event(id=read))), b"").event.id
    other = decode_head(encode_head(envelope(event=event(id=text + "x"))), b"").event.id

    assert str(uuid.UUID(read)) == read == again
    assert other != read


@pytest.mark.parametrize(("written", "read"), [(10**6, 10**6), (10**6 + 1, 10**6), (2**31, 10**6)])
@pytest.mark.parametrize("key", ["round", "spent", "deferred_again", "omitted"])
def test_a_high_count_is_lowered(key: str, written: int, read: int) -> None:
    """No count is so high that a policy that calculates with it takes long."""
    fields = {**json.loads(encode_head(envelope(spent=1))), key: written}
    assert getattr(decode_head(json.dumps(fields), b""), key) == read


def test_a_foreign_history_is_cut_as_our_own_is() -> None:
    """An envelope with thousands of attempts keeps the first and the last ones, and counts the others."""
    (one,) = json.loads(encode_head(envelope().remember(attempt(1, error=None))))["attempts"]
    attempts = [one | {"number": number, "outcome": '"' * 50_000, "release": "r" * 9_000} for number in range(500)]
    fields = {**json.loads(encode_head(envelope(spent=1))), "attempts": attempts, "omitted": 7}

    read = decode_head(json.dumps(fields), b"")

    assert (len(read.attempts), read.omitted) == (30, 477)
    assert {(len(each.outcome), len(each.release or "")) for each in read.attempts} == {(100, 200)}


@pytest.mark.parametrize("letter", ["x", "€", "\0", '"', "\\"])
def test_names_of_finished_listeners_beyond_their_room_are_dropped(letter: str) -> None:
    """300 long names leave a head that every broker takes, with as many of the first names as fit."""
    names = [f"{number}{letter * 150}" for number in range(300)]
    fields = {**json.loads(encode_head(envelope(spent=1))), "finished": [*names[:2], names[0], "n" * 5_000, *names[2:]]}

    read = decode_head(json.dumps(fields), b"")

    assert len(encode_head(read).encode()) <= MAX_FINISHED + 1_000
    assert read.finished == tuple(names[: len(read.finished)])
    assert len(read.finished) >= 10
    assert decode_head(encode_head(read), read.event.data) == read


@pytest.mark.parametrize("most", [48 * 1024, 15_000, 5_000])
@pytest.mark.parametrize("letter", ["x", "€", "\0", '"'])
def test_a_head_fits_into_the_room_that_a_broker_gives(letter: str, most: int) -> None:
    """The largest history is cut until the head fits. The event and the counts of its policy stay."""
    worst = Error(letter * 500, letter * 1_000, letter * 8_000)
    tried = envelope(spent=100, waited=5.0, finished=tuple(f"{number}{letter * 150}" for number in range(30)))
    for number in range(100):
        tried = tried.remember(attempt(number, error=worst, release=letter * 200, outcome=letter * 50_000))

    head = encode_head(tried, most)

    read = decode_head(head, tried.event.data)
    assert len(head.encode()) <= most
    assert (read.event, read.spent, read.waited) == (tried.event, 100, 5.0)
    assert len(read.attempts) + read.omitted == 100


def test_a_head_that_no_cut_makes_small_enough_is_too_large() -> None:
    """The attributes of the event are never cut."""
    with pytest.raises(TooLarge, match="take more than 4000 bytes"):
        encode_head(envelope(event=event(source="\u1234" * 1000, content_type="\u1234" * 1000)), 4000)


@pytest.mark.parametrize(
    "head",
    ["", "{", "[]", "null", "7", '{"v":99}', '{"v":1}', b"\xff", '{"v":1,"id":3}', "[" * 100_000],
)
def test_a_text_that_is_no_envelope_raises_unreadable_envelope(head: str | bytes) -> None:
    """Damaged heads and unknown versions raise the same error type."""
    with pytest.raises(UnreadableEnvelope):
        decode_head(head, b"")


@pytest.mark.parametrize("key", ["id", "type", "source", "time", "datacontenttype", "began", "attempts", "first_error"])
@pytest.mark.parametrize("value", [None, 7, [], [3], {"a": 1}, "x", True, 1e400, "0001-01-01T00:00:00+14:00"])
def test_a_damaged_field_never_makes_a_stray_exception(key: str, value: object) -> None:
    """A head with a wrong value in a field is decoded or raises `UnreadableEnvelope`, never another exception."""
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
def test_a_value_that_no_request_can_carry_is_damage(key: str, value: object) -> None:
    """Values that could not be replayed, retried or written again are refused when the head is read."""
    fields = {**json.loads(encode_head(envelope(spent=1))), key: value}
    with pytest.raises(UnreadableEnvelope, match="damaged"):
        decode_head(json.dumps(fields), b"")


def test_a_long_history_loses_its_middle_and_says_so() -> None:
    """A long history keeps its first and last attempts, which a person reads, and counts the dropped ones."""
    tried = envelope()
    for number in range(1, 101):
        tried = tried.remember(attempt(number))
    numbers = [each.number for each in tried.attempts]
    assert numbers[:FIRST_ATTEMPTS_KEPT] == list(range(1, FIRST_ATTEMPTS_KEPT + 1))
    assert numbers[-LAST_ATTEMPTS_KEPT:] == list(range(101 - LAST_ATTEMPTS_KEPT, 101))
    assert tried.omitted == 100 - len(numbers)


def test_the_first_error_keeps_its_traceback_and_later_ones_are_summaries() -> None:
    """The first error keeps its traceback, and all attempts keep their errors without tracebacks."""
    tried = envelope().remember(attempt(1)).remember(attempt(2, error=Error("KeyError", "k", "later")))
    assert tried.first_error == ERROR
    assert [each.error and each.error.traceback for each in tried.attempts] == [None, None]


@pytest.mark.parametrize("letter", ["x", "€", "\0", '"', "\udc80"])
def test_errors_of_any_size_leave_a_head_that_rabbitmq_takes(letter: str) -> None:
    """A hundred attempts with the largest errors fit into a head, which counts the attempts that it dropped."""
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
    """A lone surrogate, which JSON can contain and UTF-8 cannot encode, is escaped on writing and on reading."""
    tried = envelope(finished=("a:\udc80",)).remember(attempt(error=Error("E", "bad \ud800 text", "\udfff€")))
    read = decode_head(encode_head(tried).encode(), b"")
    assert read.finished == ("a:\\udc80",)
    assert read.attempts[0].error == Error("E", "bad \\ud800 text")
    assert read.first_error == Error("E", "bad \\ud800 text", "\\udfff€")


def test_a_new_round_forgets_what_policies_count_and_keeps_the_history() -> None:
    """A redriven event has all attempts of its policy again, and keeps its history."""
    tried = envelope(spent=4, waited=9.0, overloaded_since=NOW).remember(attempt(1))
    again = tried.next_round(NOW + timedelta(days=1))
    assert (again.round, again.spent, again.waited, again.overloaded_since) == (2, 0, 0.0, None)
    assert (again.event, again.attempts, again.attempt_number) == (tried.event, tried.attempts, 1)


def test_cutting_keeps_both_ends_within_the_limit() -> None:
    """A text that is cut keeps its beginning and its end, and says how many characters are cut."""
    cut = cut_in_the_middle("a" * 5_000 + "b" * 5_000, 1_000)
    assert len(cut) <= 1_000
    assert cut.startswith("aaa")
    assert cut.endswith("bbb")
    assert "9000 characters cut" in cut


def test_a_bounded_error_fits_its_bounds() -> None:
    """The type, message and traceback of a bounded error each have their own limit."""
    bounded = Error("E" * 900, "m" * 9_000, "t" * 90_000).bounded()
    assert bounded.traceback is not None
    assert (len(bounded.type), len(bounded.message), len(bounded.traceback)) == (200, MAX_MESSAGE, MAX_TRACEBACK)
