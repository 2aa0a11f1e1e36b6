"""What a child prints, a line at a time."""

import asyncio
import os

import pytest

from worker.pool.output import MAX_LINE, Lines, Output

PRINTED = b"one\ntwo\r\n\nthr\x00ee\t\xff\xe2\x80\xa6\nrest"
TOLD = ["one", "two", "", "thr\\x00ee\t\\xff…"]


@pytest.mark.parametrize("size", [1, 2, 7, len(PRINTED)])
def test_lines_are_the_same_however_they_come(size: int) -> None:
    """Whole, or a byte at a time; what a log cannot take is escaped."""
    lines = Lines()
    told = [line for at in range(0, len(PRINTED), size) for line in lines.add(PRINTED[at : at + size])]
    assert told == TOLD
    assert (lines.end(), lines.end()) == (["rest"], [])


def test_a_line_without_end_is_told_in_pieces() -> None:
    """And does not grow in memory."""
    lines = Lines()
    told = [piece for _ in range(100) for piece in lines.add(b"x" * 5000)] + lines.end()
    assert "".join(told) == "x" * 500_000
    assert max(map(len, told)) <= MAX_LINE


async def test_what_was_written_is_heard_when_it_is_asked_for() -> None:
    """Before the event loop would have come to it."""
    reading, writing = os.pipe()
    told: list[tuple[int, str]] = []
    output = Output(reading, 17, lambda pid, line: told.append((pid, line)))
    os.write(writing, b"now\nthe res")
    output.drain()
    assert told == [(17, "now")]
    os.close(writing)
    output.drain()
    assert told == [(17, "now"), (17, "the res")]
    output.drain()
    output.close()


async def test_it_ends_with_the_last_writer() -> None:
    """A process that a child started may outlive it, and may still print."""
    reading, writing = os.pipe()
    told: list[str] = []
    Output(reading, 17, lambda _, line: told.append(line))
    second = os.dup(writing)
    os.close(writing)
    os.write(second, b"still here\n")
    os.close(second)
    async with asyncio.timeout(5):
        while told != ["still here"]:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)
