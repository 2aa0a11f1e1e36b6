"""Dead letters and decisions as text: written within bounds, and read strictly."""

import json
from typing import Any

import pytest

from bridge.attempt import Error
from bridge.errors import TooLarge, UnreadableEnvelope
from bridge.ledger import Decision, Discarded, Letter, Redriven, Transcript
from bridge.letter_text import (
    MAX_LETTER,
    MAX_NOTE,
    MAX_UNREAD,
    MAX_WITH_TRANSCRIPT,
    decode_decision,
    decode_letter,
    encode_decision,
    encode_letter,
)
from tests.unit.bridge.examples import ERROR, NOW, attempt, envelope, event, letter

WRONG: tuple[Any, ...] = (
    *(None, True, -1, 7, 1.5, 1e400, float("nan"), 10**400, 2**63, "x", "\ud800", "x" * 300, "0001-01-01T00:00:00"),
    *([], [[]], {}, {"a": 1}, {"a": {"b": []}}),
)
"""Values that no reader may choke on, whatever field they are in."""


def test_a_letter_comes_back_whole() -> None:
    """Decoding a letter returns its envelope, queue, reason, errors and transcript."""
    written = letter()
    assert decode_letter(encode_letter(written), written.envelope.event.data) == written


@pytest.mark.parametrize("letters", ["x", "€", "\0", "\n"])
def test_a_letter_of_any_size_is_cut_to_its_bound_and_keeps_its_errors(letters: str) -> None:
    """A transcript of megabytes is cut to fit, and the error is kept."""
    huge = Transcript(
        {f"HTTP_{n}": letters * 5_000 for n in range(200)},
        200,
        {"x": letters * 90_000},
        letters * 10**6,
        letters * 10**6,
    )
    encoded = encode_letter(letter(transcript=huge))
    assert len(encoded.encode()) <= MAX_WITH_TRANSCRIPT
    assert decode_letter(encoded, b"").error == ERROR


def test_a_body_is_cut_before_the_parameters_are() -> None:
    """The parameters are kept before the bodies, because a person may want to send the same request again."""
    big = Transcript({"REQUEST_METHOD": "POST", "PATH_INFO": "/x" * 100}, 200, {}, "b" * 10**6, "")
    transcript = decode_letter(encode_letter(letter(transcript=big)), b"").transcript
    assert transcript is not None
    assert transcript.parameters["PATH_INFO"] == "/x" * 100
    assert "characters cut" in transcript.body


@pytest.mark.parametrize("head", ["", "[]", '{"letter":2}', '{"letter":1}', "null", b"\xff", "[" * 100_000])
def test_a_text_that_is_no_letter_raises_unreadable_envelope(head: str | bytes) -> None:
    """Damaged letters and unknown versions raise the same error type."""
    with pytest.raises(UnreadableEnvelope):
        decode_letter(head, b"")


@pytest.mark.parametrize("head", ["x" * MAX_UNREAD, '{"v":99,"a":"' + '\\"' * 20_000 + '"}', "€" * (MAX_UNREAD // 3)])
def test_an_unread_head_is_kept_whole_up_to_its_limit(head: str) -> None:
    """A head that could not be read is kept whole, so that a later version of the program can read it."""
    written = letter(unread=head)
    read = decode_letter(encode_letter(written), written.envelope.event.data)
    assert (read.unread, read.unread_cut) == (head, 0)


@pytest.mark.parametrize("text", ["x", "€", "\0", '"'])
def test_an_unread_head_beyond_its_limit_is_cut_and_its_letter_stays(text: str) -> None:
    """A head that is too long is cut to fit into RabbitMQ's headers, and its letter cannot be redriven."""
    written = letter(unread=text * 100_000, transcript=None)
    encoded = encode_letter(written)
    assert len(encoded.encode()) <= MAX_LETTER
    read = decode_letter(encoded, b"")
    assert read.unread is not None
    assert len(read.unread) + read.unread_cut == 100_000
    with pytest.raises(UnreadableEnvelope, match=f"{read.unread_cut} characters are cut"):
        read.revived(NOW)
    assert decode_letter(encode_letter(read), b"") == read


@pytest.mark.parametrize("text", ["x", "€", "\0", '"', "\udc80"])
def test_the_worst_letter_of_all_fits(text: str) -> None:
    """A letter with the largest history, error and transcript fits into RabbitMQ's headers."""
    worst = Error(text * 500, text * 1_000, text * 20_000).bounded()
    tried = envelope()
    for number in range(100):
        tried = tried.remember(attempt(number, error=worst, release="€" * 200))
    transcript = Transcript({"A": text * 9_000}, 500, {"b": text * 9_000}, text * 90_000, text * 90_000)
    encoded = encode_letter(letter(envelope=tried, error=worst, transcript=transcript))
    assert len(encoded.encode()) <= MAX_LETTER
    read = decode_letter(encoded, b"")
    assert read.error == worst.bounded()
    assert read.transcript is not None


@pytest.mark.parametrize("most", [131_000, 64_000, 15_000, 7_000])
@pytest.mark.parametrize("text", ["x", "€", "\0", '"', "\\", "\udc80"])
def test_a_letter_fits_into_the_room_that_a_broker_gives(text: str, most: int) -> None:
    """The largest letter is written within the bytes of a broker with small frames. Its event stays whole."""
    worst = Error(text * 500, text * 1_000, text * 20_000).bounded()
    names = tuple(f"{text * 90}{number}" for number in range(200))
    tried = envelope(finished=names)
    for number in range(100):
        tried = tried.remember(attempt(number, error=worst, release=text * 200, outcome=text * 50_000))
    transcript = Transcript({text * 300: text * 9_000}, 500, {text * 300: text * 9_000}, text * 90_000, text * 90_000)

    encoded = encode_letter(letter(envelope=tried, error=worst, transcript=transcript, unread=text * 90_000), most)

    assert len(encoded.encode()) <= min(most, MAX_LETTER)
    read = decode_letter(encoded, tried.event.data)
    assert (read.envelope.event, read.queue, read.reason) == (tried.event, "mail", "attempts used up")
    assert read.envelope.omitted + len(read.envelope.attempts) == 100


def test_a_letter_that_no_cut_makes_small_enough_is_too_large() -> None:
    """The attributes of the event are never cut. The error says what does not fit."""
    with pytest.raises(TooLarge, match=f"event {event().id} take more than 4000 bytes"):
        encode_letter(letter(envelope=envelope(event=event(source="s" * 1000, content_type="\u1234" * 1000))), 4000)


def _damaged(path: tuple[str, ...], value: object) -> str:
    """Return an encoded letter with another value in one field, at any depth."""
    fields = json.loads(encode_letter(letter()))
    fields["envelope"] = json.loads(fields["envelope"])
    place = fields
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    fields["envelope"] = json.dumps(fields["envelope"]) if isinstance(fields["envelope"], dict) else fields["envelope"]
    return json.dumps(fields)


@pytest.mark.parametrize(
    "path",
    [
        *(("letter",), ("time",), ("queue",), ("reason",), ("envelope",), ("error",), ("transcript",), ("unread",)),
        *(("unread_cut",), ("error", "type"), ("error", "message"), ("error", "traceback")),
        *(("transcript", part) for part in ("parameters", "status", "headers", "body", "error_output")),
        *(("envelope", part) for part in ("v", "id", "type", "source", "time", "datacontenttype", "began", "spent")),
        *(("envelope", part) for part in ("attempts", "first_error", "round", "waited", "finished", "omitted")),
    ],
)
def test_a_damaged_field_is_refused_or_read_as_what_it_should_be(path: tuple[str, ...]) -> None:
    """Whatever is in a field: the letter is unreadable, or each of its values has the right type and can be written."""
    for value in WRONG:
        try:
            read = decode_letter(_damaged(path, value), b"")
        except UnreadableEnvelope:
            continue
        assert decode_letter(encode_letter(read), b"") == read, value
        _check_types(read)


def _check_types(read: Letter) -> None:
    texts = [read.queue, read.error.type, read.error.message, read.envelope.event.id, read.envelope.event.name]
    if read.transcript is not None:
        pieces = (*read.transcript.parameters.items(), *read.transcript.headers.items())
        texts += [text for pair in pieces for text in pair] + [read.transcript.body, read.transcript.error_output]
        assert read.transcript.status is None or 0 <= read.transcript.status <= 999
    for text in texts:
        text.encode()
    for number in (read.unread_cut, read.envelope.spent, read.envelope.omitted):
        assert type(number) is int
        assert 0 <= number < 2**63


@pytest.mark.parametrize("decision", [Redriven(7, 3, NOW, "ann@host", "fixed"), Discarded(8, 2**40, NOW, "bob")])
def test_a_decision_comes_back_as_it_was(decision: Decision) -> None:
    """Kind, letter, time, author and reason travel. The number is the place in the ledger."""
    assert decode_decision(decision.number, encode_decision(decision)) == decision


def test_a_reason_of_any_length_makes_a_decision_of_bounded_size() -> None:
    """The middle of a long reason is cut, and half a surrogate pair is spelled out."""
    text = encode_decision(Discarded(0, 1, NOW, "a\ud800" * 500, "n\udfff" * 50_000))

    read = decode_decision(9, text.encode())

    assert len(text.encode()) < 10_000
    assert len(read.note) <= MAX_NOTE
    assert read.actor.startswith("a\\ud800a")


@pytest.mark.parametrize("key", ["kind", "letter", "time", "actor", "note"])
def test_a_damaged_decision_is_refused_or_has_the_right_types(key: str) -> None:
    """A wrong value raises `ValueError`, or it is one that SQLite and a terminal can take."""
    for value in WRONG:
        fields = json.loads(encode_decision(Redriven(0, 3, NOW, "ann", "fixed"))) | {key: value}
        try:
            read = decode_decision(1, json.dumps(fields))
        except ValueError:
            continue
        assert 0 <= read.letter < 2**63
        assert len(f"{read.actor}{read.note}".encode()) < 10_000


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "7", "[" * 100_000, b"\xff", '{"kind":"x"}'])
def test_a_text_that_is_no_decision_raises_value_error(text: str | bytes) -> None:
    """Damaged texts and unknown kinds raise the same error type."""
    with pytest.raises(ValueError):  # with any message
        decode_decision(1, text)
