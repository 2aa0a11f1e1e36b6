"""The level of the lines that an app writes to its error output."""

import logging

import pytest

from bridge.console.app_output import PrintedRecords, level_of, records_of

FLASK = "[2026-11-29 13:33:04,250] ERROR in app: Exception on / [GET]"
TRACEBACK = "Traceback (most recent call last):\n  File \"shop.py\", line 1\nKeyError: 'id'"


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (FLASK, logging.ERROR),
        ("[2026-11-29 13:33:04,250] INFO in app: hello", logging.INFO),
        ("WARNING:shop.mail:the server is slow", logging.WARNING),
        ("2026-11-29 13:33:04,250 - shop.mail - DEBUG - hello", logging.DEBUG),
        ("2026-11-29T13:33:04Z CRITICAL no disk", logging.CRITICAL),
        ("13:33:04 [INFO] hello", logging.INFO),
        ("Traceback (most recent call last):", logging.ERROR),
        ("INFORMATION is no level", logging.WARNING),
        ("this ERROR is in the middle", logging.WARNING),
        ("", logging.WARNING),
    ],
)
def test_the_level_that_a_line_shows(line: str, level: int) -> None:
    """A line in the default format of Flask or Python has its own level; any other line has the given level."""
    assert level_of(line, logging.WARNING) == level


def test_a_failure_is_one_record_with_its_traceback() -> None:
    """The lines of a traceback belong to the record before them, so an alert by level counts each failure once."""
    text = f"something odd\n{FLASK}\n{TRACEBACK}\nINFO:shop:done\n"

    assert records_of(text, logging.WARNING) == [
        (logging.WARNING, "something odd"),
        (logging.ERROR, f"{FLASK}\n{TRACEBACK}"),
        (logging.INFO, "INFO:shop:done"),
    ]


def test_a_traceback_without_a_head_is_an_error() -> None:
    """A traceback that begins the text, as `traceback.print_exc` writes it, is one record at level error."""
    assert records_of(TRACEBACK, logging.WARNING) == [(logging.ERROR, TRACEBACK)]


def test_nothing_is_no_record() -> None:
    """An empty text has no record."""
    assert records_of("", logging.WARNING) == []


CHAINED = f"{TRACEBACK}\n\nDuring handling of the above exception, another exception occurred:\n\n{TRACEBACK}"
GROUP = "  + Exception Group Traceback (most recent call last):\n  |   File\n  | ExceptionGroup: 2\n  +------------"


@pytest.mark.parametrize("traceback", [TRACEBACK, CHAINED, f"{TRACEBACK}\nmore of the message"])
def test_a_printed_traceback_is_one_record_with_its_head(traceback: str) -> None:
    """Lines before and after are records of their own, and so is each line without a traceback."""
    printed = PrintedRecords()
    text = f"one\ntwo\n{FLASK}\n{traceback}\nINFO:shop:done\nthree"

    assert printed.add(text.split("\n")) == ["one", "two", f"{FLASK}\n{traceback}", "INFO:shop:done", "three"]
    assert not printed.unfinished


@pytest.mark.parametrize("traceback", [TRACEBACK, GROUP])
def test_a_traceback_that_comes_in_parts_is_one_record(traceback: str) -> None:
    """It is unfinished until its last line has come, or until somebody ends it."""
    printed = PrintedRecords()
    records = [record for line in traceback.split("\n") for record in printed.add([line])]

    assert records + printed.end() == [traceback]
    assert printed.add([FLASK]) == [FLASK]


def test_an_endless_traceback_comes_in_parts() -> None:
    """A record does not grow in memory."""
    printed = PrintedRecords()
    lines = [TRACEBACK.split("\n")[0], *["  File"] * (3 * PrintedRecords.LONGEST)]

    records = printed.add(lines) + printed.end()

    assert "\n".join(records).split("\n") == lines
    assert max(record.count("\n") for record in records) < PrintedRecords.LONGEST
