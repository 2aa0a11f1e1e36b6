"""The payload of a letter, for people and for programs."""

import base64
import random

import pytest

from bridge.event import Event
from dead_letter.payload import HEX_SHOWN, SHOWN, data_to_json, preview
from tests.unit.dead_letter.ledger_double import NOW


def _event(data: bytes, content_type: str = "application/json") -> Event:
    return Event("id", "order.paid", "shop", NOW, content_type, data)


def test_json_is_indented() -> None:
    """Its strings are shown without JSON's escapes."""
    assert preview(_event(b'{"a":"\\u00e9"}')) == ('{\n  "a": "é"\n}', True)


def test_text_is_text() -> None:
    """The content type does not matter."""
    assert preview(_event("naïve\n".encode(), "text/plain")) == ("naïve\n", True)


def test_bytes_are_a_hex_dump() -> None:
    """A row has its offset, sixteen bytes, and their printable characters."""
    shown, whole = preview(_event(b"\xff\x00ABC" + bytes(12), "image/png"))

    assert shown.splitlines() == [
        "000000  ff 00 41 42 43 00 00 00 00 00 00 00 00 00 00 00  ..ABC...........",
        "000010  00                                               .",
    ]
    assert whole


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b'"' + b"x" * SHOWN + b'"', "application/json"),
        ("é".encode() * SHOWN, "text/plain"),
        (b"x" + "é".encode() * SHOWN, "text/plain"),
        (b"\xff" * (HEX_SHOWN + 1), "image/png"),
    ],
)
def test_long_data_are_shortened(data: bytes, content_type: str) -> None:
    """If the cut is in the middle of a character, the data are still shown as text."""
    shown, whole = preview(_event(data, content_type))

    assert not whole
    assert len(shown) <= SHOWN
    assert (shown[:4] == "0000") == (content_type == "image/png")


@pytest.mark.parametrize("content_type", ["application/json", "application/problem+json; charset=utf-8"])
def test_json_data_are_data(content_type: str) -> None:
    """The form is the JSON format of CloudEvents."""
    assert data_to_json(_event(b'{"id": 17}', content_type)) == {"data": {"id": 17}}


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b'{"id": 17}', "text/plain"),
        (b"{", "application/json"),
        (b"", "application/json"),
        (b"NaN", "application/json"),
        (b"1e999", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"9" * 10_000, "application/json"),
    ],
)
def test_other_data_are_base64(data: bytes, content_type: str) -> None:
    """This includes invalid data with a JSON content type."""
    event = _event(data, content_type)

    assert data_to_json(event) == {"data_base64": base64.b64encode(data).decode()}
    preview(event)


def test_any_bytes_have_a_preview() -> None:
    """A page never ends in an exception."""
    randomness = random.Random(17)
    for _ in range(500):
        data = randomness.randbytes(randomness.randrange(60))
        preview(_event(data))
        data_to_json(_event(b'"' + data + b'"'))
