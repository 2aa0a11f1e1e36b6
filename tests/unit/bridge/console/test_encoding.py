"""Texts on terminals whose encoding is not UTF-8."""

import io

import pytest

from bridge.console.encoding import PLAIN, argument_text


@pytest.mark.parametrize(
    ("encoding", "text", "written"),
    [
        ("latin-1", "…ab → ü × 2", b"...ab -> \xfc \xd7 2"),
        ("ascii", "…ab → ü × 2", b"...ab -> \\xfc x 2"),
        ("cp1252", "…ab → ü", b"\x85ab -> \xfc"),
        ("utf-8", "…ab → ü", "…ab → ü".encode()),
        ("ascii", "\ud800", b"\\ud800"),
        ("utf-8", "\ud800", b"\\ud800"),
    ],
)
def test_characters_that_the_encoding_lacks(encoding: str, text: str, written: bytes) -> None:
    """Our own signs have plain ones, and other characters are escaped."""
    stream = io.BytesIO()
    terminal = io.TextIOWrapper(stream, encoding=encoding, errors=PLAIN)

    terminal.write(text)
    terminal.flush()

    assert stream.getvalue() == written


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("grün", "grün"),
        ("gr\udcfcn", "grün"),
        ("gr\udcc3\udcbcn", "grün"),
        ("", ""),
        ("\udcff", "ÿ"),
    ],
)
def test_an_argument_in_another_encoding(given: str, text: str) -> None:
    """Bytes that Python could not decode are UTF-8, or else Latin-1."""
    assert argument_text(given) == text
