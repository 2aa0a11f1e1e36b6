"""The source of a test that is written for a letter."""

import pytest

from bridge.attempt import Error
from bridge.ledger import summary
from dead_letter.at_home import test_source as source_of
from tests.unit.dead_letter.ledger_double import a_letter

HOSTILE = ['"""', "'''", "\\", '\\"""', "\n", "\x1b[31m", "{}", "é \ud800", "%s", "import os; os.abort()\n"]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("target", [None, "shop:app", "x')\nimport os\n('"])
def test_nothing_in_a_letter_ends_a_literal(text: str, target: str | None) -> None:
    """The source has no other statements than those of the test, whatever the event and the error are."""
    letter = a_letter(name=text, event_id=text, queue=text, content_type=text, error=Error(text, text))
    plain = a_letter()

    found, expected = (
        compile(source_of(summary(7, each), each, target), "test.py", "exec") for each in (letter, plain)
    )

    assert found.co_names == expected.co_names


def test_a_value_left_out_of_the_title_is_shown_by_dots() -> None:
    """The source is ASCII, and has no escape for what each title has."""
    letter = a_letter(error=Error("KeyError", "'address'"))

    source = source_of(summary(7, letter), letter, None)

    assert source.startswith('"""Dead letter 7, which died ')
    assert "KeyError: '...'" in source
    assert source.isascii()
    assert "u2026" not in source


def test_the_data_are_whole() -> None:
    """Byte for byte."""
    data = bytes(range(256)) * 20
    letter = a_letter(data=data)
    names: dict[str, object] = {}

    exec(source_of(summary(7, letter), letter, None), names)  # what the program writes

    assert names["DATA"] == data
