"""The escaping of texts, so that they cannot control a terminal."""

import json

import pytest

from bridge.console.printable import json_text, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, 日本語, 🎉", "plain, naïve, 日本語, 🎉"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202e", "\\u202e"),
        ("\U000e0001", "\\U000e0001"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    """Escape sequences, C1 controls, overrides of the text direction and lone surrogates are escaped."""
    assert printable(text) == shown


def test_line_ends_and_tabs_are_kept_on_request() -> None:
    """With `lines`, line ends and tabs are kept, but a lone carriage return, which could overwrite a line, is not."""
    assert printable("a\r\n\tb\rc\x1b", lines=True) == "a\n\tb\\rc\\x1b"


def test_json_is_ascii_without_a_control_character() -> None:
    """JSON output is printable ASCII and reads back as the same text."""
    hostile = "\x1b[31m\x7f\x9b\u202e\ud800"

    text = json_text({"message": hostile})

    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["message"] == hostile
