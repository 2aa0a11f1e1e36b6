"""The data of a dead letter in an editor, and what an event cannot have instead."""

import json

import pytest

from dead_letter.editing import text_to_edit, why_not
from tests.contract.acts import an_event


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"to": "b\xc3\xb6b \xe6\x97\xa5"}', '{\n  "to": "böb 日"\n}\n'),
        (b'["\\ud800"]', '[\n  "\\ud800"\n]\n'),
        (b'["\xed\xa0\x80"]', '[\n  "\\ud800"\n]\n'),
        ('["ö\\n\u202e\U000e0001\\u0000"]'.encode(), '[\n  "ö\\n\\u202e\\udb40\\udc01\\u0000"\n]\n'),
    ],
)
def test_json_is_indented_and_keeps_its_value(data: bytes, text: str) -> None:
    """Characters that cannot be printed, such as lone surrogates, are escaped."""
    assert text_to_edit(an_event("mail.sent", data)) == text
    assert json.loads(text) == json.loads(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfa\r\nb", "\ufeffa\r\nb"),
        (b'{"a": NaN}', '{"a": NaN}'),
        (b'{"a": 1e400}', '{"a": 1e400}'),
        (b"\xff", None),
    ],
)
def test_other_data_are_shown_as_they_are(data: bytes, text: str | None) -> None:
    """If they are text. What could not be written again as JSON is text too."""
    assert text_to_edit(an_event("mail.sent", data)) == text


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (b'{"a": 1, "b": 2}', "the data have 16 bytes, max_body is 15"),
        (b'{"a": 1', "the data cannot be read as JSON, as the old data can: Expecting ',' delimiter"),
        (b'{"a": NaN}', "the data cannot be read as JSON, as the old data can: NaN is not JSON"),
        (b'{"a": 1e400}', "the data cannot be read as JSON, as the old data can: 1e400 is too large for a float"),
        (b'"\xff"', "the data cannot be read as JSON, as the old data can: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_what_the_app_could_not_take_is_refused(new: bytes, why: str) -> None:
    """The sentence says what is wrong."""
    assert (why_not(an_event("mail.sent", b'{"a": 1}'), new, 15) or "").startswith(why)


def test_data_that_are_no_json_may_become_anything() -> None:
    """Nobody knows what the app expects of them."""
    assert why_not(an_event("mail.sent", b"a=1"), b"\xff", 100) is None
