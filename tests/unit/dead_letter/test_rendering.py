"""Lists: counts, ages and rows. No text in them can control a terminal."""

import io
import json
from datetime import timedelta

import pytest
from rich.console import Console

from bridge.attempt import Error
from bridge.console.terminal import print_json_lines
from bridge.ledger import Dead, Discarded, Redriven, grouped, summary
from dead_letter import rendering
from dead_letter.rendering import decision_text, print_candidates, print_groups, print_letters
from tests.unit.dead_letter.ledger_double import NOW, a_letter

HOSTILE = "\x1b]0;mine\x07\x1b[31m\x9b2J\r\x7f[bold]x[/bold]\u202egnp.exe\ud800\u2028"


def _console(width: int | None = None) -> Console:
    """Return a console that writes to a pipe; or, with a width, to a terminal without colours."""
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


@pytest.mark.parametrize("width", [None, 100])
def test_no_cell_of_a_table_reaches_the_terminal_raw(width: int | None) -> None:
    """On a terminal and in a pipe, there are no escape sequences and no markup."""
    console = _console(width)

    print_letters(console, [_dead(error=Error(HOSTILE, HOSTILE))], NOW)

    text = _printed(console)
    assert text.replace("\n", "").isprintable()
    assert "\\x1b]0;mine" in text


def test_a_pipe_gets_whole_lines() -> None:
    """A user can `grep` for all of the text, however long the lines are."""
    console = _console()

    print_letters(console, [_dead(error=Error("E", "x" * 400))], NOW)

    assert "x" * 400 in _printed(console)


def test_a_terminal_gets_lines_that_fit() -> None:
    """Numbers and the ends of ids are complete; the error is shortened."""
    console = _console(width=80)

    print_letters(console, [_dead(number=123_456, error=Error("E", "x" * 400))], NOW)

    lines = _printed(console).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "123456" in lines[1]
    assert "…0000000000aa" in lines[1]
    assert "order.paid" in lines[1]


def test_a_summary_has_counts_and_ages() -> None:
    """The summary has a row for each event, queue and error. The largest count comes first."""
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


def test_a_decision_is_one_line() -> None:
    """The line has the author, the decision, the age and the reason."""
    time = NOW - timedelta(minutes=3)

    assert decision_text(Redriven(20, 17, time, "ann@host"), NOW) == "redriven by ann@host 3 min ago"
    assert decision_text(Discarded(21, 18, time, "ann", "a\x1btest"), NOW) == "discarded by ann 3 min ago: a\\x1btest"


def test_many_candidates_are_counted() -> None:
    """A short end may match thousands of ids."""
    console = _console()

    print_candidates(console, [_dead(number) for number in range(1, 1213)], NOW)

    assert _printed(console).splitlines()[-1] == "… and 1,202 more"


def test_json_is_one_object_a_line_and_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """Reading it back gives the same values. It has no control characters."""
    print_json_lines([rendering.letter_to_json(_dead(error=Error(HOSTILE, HOSTILE)))])

    text = capsys.readouterr().out
    assert text.isascii()
    assert text.rstrip("\n").isprintable()
    assert json.loads(text)["error"]["message"] == HOSTILE
