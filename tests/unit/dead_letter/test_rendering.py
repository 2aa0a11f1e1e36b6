"""Lists: counts, ages, rows; and that nothing in them can steer a terminal."""

import io
import json
from datetime import timedelta

import pytest
from rich.console import Console

from bridge.attempt import Error
from bridge.ledger import Dead, Discarded, Redriven, grouped, summary
from dead_letter import rendering
from dead_letter.rendering import age, decided, print_candidates, print_groups, print_json, print_letters, visible
from tests.unit.dead_letter.ledger_double import NOW, a_letter

HOSTILE = "\x1b]0;mine\x07\x1b[31m\x9b2J\r\x7f[bold]x[/bold]\u202egnp.exe\ud800\u2028"


def _console(width: int | None = None) -> Console:
    """A pipe; or with a width, a terminal without colours."""
    return Console(
        file=io.StringIO(),
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
        width=width,
        force_terminal=width is not None,
        color_system=None,
    )


def _printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _dead(number: int = 1, error: Error = Error("KeyError", "'id'")) -> Dead:  # noqa: B008 (frozen)
    return summary(number, a_letter(error=error))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, 日本語, 🎉", "plain, naïve, 日本語, 🎉"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\tc", "a\\nb\\x09c"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202e", "\\u202e"),
        ("\U000e0001", "\\U000e0001"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    """Escapes, C1 controls, overrides of direction, lone surrogates."""
    assert visible(text) == shown


def test_lines_stay_lines_where_lines_are_meant() -> None:
    """A traceback keeps its lines and tabs; a carriage return alone could overwrite a line."""
    assert visible("a\r\n\tb\rc\x1b", lines=True) == "a\n\tb\\x0dc\\x1b"


@pytest.mark.parametrize("width", [None, 100])
def test_no_cell_of_a_table_reaches_the_terminal_raw(width: int | None) -> None:
    """Neither as an escape sequence nor as markup, on a terminal and in a pipe."""
    console = _console(width)

    print_letters(console, [_dead(error=Error(HOSTILE, HOSTILE))], NOW)

    text = _printed(console)
    assert text.replace("\n", "").isprintable()
    assert "\\x1b]0;mine" in text


def test_a_pipe_gets_whole_lines() -> None:
    """What people grep for is there, however long."""
    console = _console()

    print_letters(console, [_dead(error=Error("E", "x" * 400))], NOW)

    assert "x" * 400 in _printed(console)


def test_a_terminal_gets_lines_that_fit() -> None:
    """Numbers and the ends of ids are whole; the error gives way."""
    console = _console(width=80)

    print_letters(console, [_dead(number=123_456, error=Error("E", "x" * 400))], NOW)

    lines = _printed(console).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "123456" in lines[1]
    assert "…0000000000aa" in lines[1]
    assert "order.paid" in lines[1]


def test_a_summary_has_counts_and_ages() -> None:
    """A row for each event, queue and error, the largest first."""
    letters = [
        summary(1, a_letter(age=timedelta(minutes=5))),
        summary(2, a_letter(age=timedelta(days=3))),
        summary(3, a_letter(name="mail.sent")),
    ]
    console = _console()

    print_groups(console, grouped(letters), NOW)

    assert [line.split() for line in _printed(console).splitlines()] == [
        ["count", "event", "queue", "oldest", "newest", "error"],
        ["2", "order.paid", "mail", "3", "d", "5", "min", "KeyError"],
        ["1", "mail.sent", "mail", "2", "h", "2", "h", "KeyError"],
    ]


@pytest.mark.parametrize(
    ("seconds", "said"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86399, "23 h"), (200_000, "2 d")]
)
def test_ages_are_in_the_largest_unit_that_they_fill(seconds: int, said: str) -> None:
    """A clock that is behind makes no negative ages."""
    assert age(NOW - timedelta(seconds=seconds), NOW) == said


def test_a_decision_is_said_whole() -> None:
    """Who, what, when and why."""
    time = NOW - timedelta(minutes=3)

    assert decided(Redriven(20, 17, time, "ann@host"), NOW) == "redriven by ann@host 3 min ago"
    assert decided(Discarded(21, 18, time, "ann", "a\x1btest"), NOW) == "discarded by ann 3 min ago: a\\x1btest"


def test_many_candidates_are_counted() -> None:
    """A short end may mean thousands."""
    console = _console()

    print_candidates(console, [_dead(number) for number in range(1, 1213)], NOW)

    assert _printed(console).splitlines()[-1] == "… and 1,202 more"


def test_json_is_one_object_a_line_and_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """It is read back as it was, and no byte of it is a control character."""
    print_json([rendering.letter_to_json(_dead(error=Error(HOSTILE, HOSTILE)))])

    text = capsys.readouterr().out
    assert text.isascii()
    assert text.rstrip("\n").isprintable()
    assert json.loads(text)["error"]["message"] == HOSTILE
