"""What is hidden of a payload and a transcript, and what stays."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.attempt import Attempt, Error
from bridge.envelope import Envelope
from bridge.event import Event
from bridge.ledger import Letter, Transcript
from bridge.redaction import HIDDEN, Redaction

NOW = datetime(2026, 3, 1, tzinfo=UTC)
REDACTION = Redaction(("card", "password", "api_key"))


def _event(data: bytes, content_type: str = "application/json") -> Event:
    return Event("e-1", "order.paid", "shop", NOW, content_type, data)


def _redacted(value: Any) -> Any:
    return json.loads(REDACTION.in_event(_event(json.dumps(value).encode())).data)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Card-Number": 4711, "id": 7}, {"Card-Number": HIDDEN, "id": 7}),
        ({"a": [{"PASSWORD": {"old": "x"}}, 1]}, {"a": [{"PASSWORD": HIDDEN}, 1]}),
        ({"apiKey": None, "discard": 1}, {"apiKey": HIDDEN, "discard": HIDDEN}),
        ([{"pass_word": "x"}, {"é": "ü"}], [{"pass_word": HIDDEN}, {"é": "ü"}]),
    ],
)
def test_fields_are_hidden_at_any_depth(value: Any, expected: Any) -> None:
    """By a part of their name, whatever its case and separators. Also where the value is null, a list or an object."""
    assert _redacted(value) == expected


@pytest.mark.parametrize(
    "data", [b'{ "id":  7 }', b"\xff\xfe", b"", b"password=x", b"[" * 100_000, b'"password"', b"null", b'{"a": NaN}']
)
def test_other_data_stay_as_they_are(data: bytes) -> None:
    """Byte for byte."""
    assert REDACTION.in_event(_event(data)).data == data


def test_a_form_is_redacted() -> None:
    """Its other fields stay."""
    event = _event(b"user=ann&card=4711+0815", "application/x-www-form-urlencoded; charset=utf-8")

    assert REDACTION.in_event(event).data == b"user=ann&card=%5Bredacted%5D"


def test_what_is_nested_too_deep_is_hidden_as_a_whole() -> None:
    """It cannot be written again without the field."""
    data = b'{"a": ' * 900 + b'{"card": "4711"}' + b"}" * 900

    redacted = REDACTION.in_event(_event(data)).data

    assert b"4711" not in redacted


def test_hidden_values_are_hidden_in_the_other_texts_of_a_letter() -> None:
    """In the messages, the tracebacks, the request, the reply and what the app wrote. Short values are not."""
    event = _event(b'{"card": "4111 1111", "password": "abc", "id": "order-17"}')
    error = Error("ValueError", "4111 1111 abc is refused", 'x = "4111 1111"')
    envelope = Envelope(event, NOW).remember(Attempt(1, 1, NOW, 0.1, "Failed", None, error))
    parameters = {"HTTP_X_API_KEY": "k-12345", "PATH_INFO": "/order-17", "QUERY": "key=k-12345"}
    transcript = Transcript(parameters, 500, {"x-card": "v"}, '{"card": "4111 1111"}', "4111 1111 and k-12345")
    letter = Letter(NOW, "mail", "rejected", envelope, error, transcript, unread="4111 1111")

    found = REDACTION.in_letter(letter)

    assert "4111" not in repr(found)
    assert "k-12345" not in repr(found)
    assert found.error.message == f"{HIDDEN} abc is refused"
    assert found.transcript is not None
    assert found.transcript.parameters["PATH_INFO"] == "/order-17"
    assert found.transcript.headers == {"x-card": HIDDEN}


def test_without_words_nothing_is_hidden() -> None:
    """The letter is the same object."""
    letter = Letter(NOW, "mail", "rejected", Envelope(_event(b'{"card": 1}'), NOW), Error("E", "m"))

    assert Redaction().in_letter(letter) is letter
    assert REDACTION.in_letter(replace(letter, envelope=Envelope(_event(b"1"), NOW))).envelope.event.data == b"1"
