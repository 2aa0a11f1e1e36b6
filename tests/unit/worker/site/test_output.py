"""The one log of several processes."""

import json
import os
import pty
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from worker.site.output import Lines, OneLog


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[TextIO]:
    """A file for the log."""
    with (tmp_path / "log").open("w") as opened:
        yield opened


def written(stream: TextIO) -> str:
    """The text of the log."""
    return Path(stream.name).read_text()


def test_each_line_has_its_process(stream: TextIO) -> None:
    """Aligned, and without colours where nobody sees them."""
    log = OneLog("site", ["worker"], as_json=False, stream=stream)

    log.write("site", b"one")
    log.write("worker", b"\xff")

    assert written(stream) == "site   | one\nworker | \\xff\n"


def test_a_colour_for_each_process_on_a_terminal() -> None:
    """Different processes have different colours."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as terminal:
        log = OneLog("site", ["worker"], as_json=False, stream=terminal)

        for name in ("site", "worker"):
            log.write(name, b"one")

        site, worker = screen.readline(), screen.readline()
    assert site == b"\x1b[36msite   |\x1b[0m one\r\n"
    assert worker == b"\x1b[33mworker |\x1b[0m one\r\n"


def test_json_stays_json(stream: TextIO) -> None:
    """An object gets the process as a field, and any other line becomes an object."""
    log = OneLog("site", ["pool"], as_json=True, stream=stream)

    for line in (b'{"level": "info"}', b"Traceback {", b"{}"):
        log.write("pool", line)

    assert [json.loads(line) for line in written(stream).splitlines()] == [
        {"process": "pool", "level": "info"},
        {"process": "pool", "message": "Traceback {"},
        {"process": "pool", "message": "{}"},
    ]


def test_lines_that_cannot_be_written_are_counted(stream: TextIO) -> None:
    """While the disk is full they are dropped, and their number is told when there is room again."""
    log = OneLog("site", ["pool"], as_json=False, stream=stream)
    log.write("pool", b"one")
    file = os.dup(stream.fileno())
    with Path("/dev/full").open("w") as full:
        os.dup2(full.fileno(), stream.fileno())
    for line in (b"two", b"three"):
        log.write("pool", line)
    os.dup2(file, stream.fileno())
    os.close(file)

    for line in (b"four", b"five"):
        log.write("pool", line)

    assert written(stream).splitlines() == [
        "pool | one",
        "site | lines of this log that are lost: 2 (No space left on device)",
        "pool | four",
        "pool | five",
    ]


def test_after_half_a_line_comes_a_line_of_its_own() -> None:
    """A stream may take a part of a line and then no more."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb") as reader:
        with os.fdopen(writing, "w") as stream:
            log = OneLog("site", ["pool"], as_json=False, stream=stream)
            log.write("pool", b"x" * 1_000_000)
            taken = reader.read1(1_000_000)

            log.write("pool", b"two")
        rest = reader.read()

    assert taken == b"pool | " + b"x" * (len(taken) - len(b"pool | "))
    assert rest.splitlines()[-3:] == [
        b"",
        b"site | lines of this log that are lost: 1 (Resource temporarily unavailable)",
        b"pool | two",
    ]


def test_lines_in_pieces() -> None:
    """A line may come in several parts, and the last one without its end."""
    lines = Lines()

    assert lines.take(b"one\ntw") == [b"one"]
    assert lines.take(b"o\nthree") == [b"two"]
    assert lines.rest() == [b"three"]
