"""The one log of several processes."""

import io
import json

from worker.site.output import Lines, OneLog


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_each_line_has_its_process() -> None:
    """Aligned, and without colours where nobody sees them."""
    stream = io.StringIO()
    log = OneLog(["pool", "worker"], as_json=False, stream=stream)

    log.write("pool", b"one")
    log.write("worker", b"\xff")

    assert stream.getvalue() == "pool   | one\nworker | \\xff\n"


def test_a_colour_for_each_process_on_a_terminal() -> None:
    """Different processes have different colours."""
    stream = Terminal()
    log = OneLog(["pool", "worker"], as_json=False, stream=stream)

    for name in ("pool", "worker"):
        log.write(name, b"one")

    pool, worker = stream.getvalue().splitlines()
    assert pool == "\x1b[36mpool   |\x1b[0m one"
    assert worker == "\x1b[33mworker |\x1b[0m one"


def test_json_stays_json() -> None:
    """An object gets the process as a field, and any other line becomes an object."""
    stream = io.StringIO()
    log = OneLog(["pool"], as_json=True, stream=stream)

    for line in (b'{"level": "info"}', b"Traceback {", b"{}"):
        log.write("pool", line)

    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"process": "pool", "level": "info"},
        {"process": "pool", "message": "Traceback {"},
        {"process": "pool", "message": "{}"},
    ]


def test_lines_in_pieces() -> None:
    """A line may come in several parts, and the last one without its end."""
    lines = Lines()

    assert lines.take(b"one\ntw") == [b"one"]
    assert lines.take(b"o\nthree") == [b"two"]
    assert lines.rest() == [b"three"]
