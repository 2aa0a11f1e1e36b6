"""The output of a child, read line by line."""

import asyncio
import os

import pytest

from bridge.child_protocol import output_mark
from tests.limits import PATIENCE
from worker.pool.output import MAX_LINE, Lines, Marks, Output

PRINTED = b"one\ntwo\r\n\nthr\x00ee\t\xff\xe2\x80\xa6\nrest"
LINES = ["one", "two", "", "thr\\x00ee\t\\xff…"]


@pytest.mark.parametrize("size", [1, 2, 7, len(PRINTED)])
def test_lines_do_not_depend_on_the_size_of_the_pieces(size: int) -> None:
    """The output arrives whole, or in pieces of a few bytes. Characters that are unsafe in a log are escaped."""
    lines = Lines()
    printed = [line for at in range(0, len(PRINTED), size) for line in lines.add(PRINTED[at : at + size])]
    assert printed == LINES
    assert (lines.end(), lines.end()) == (["rest"], [])


def test_an_endless_line_comes_in_pieces() -> None:
    """The line does not grow in memory."""
    lines = Lines()
    pieces = [piece for _ in range(100) for piece in lines.add(b"x" * 5000)] + lines.end()
    assert "".join(pieces) == "x" * 500_000
    assert max(map(len, pieces)) <= MAX_LINE


async def test_drain_reads_all_that_was_written() -> None:
    """The output is read at once, before the event loop reports it."""
    reading, writing = os.pipe()
    printed: list[tuple[int, str]] = []
    output = Output(reading, 17, lambda pid, line: printed.append((pid, line)))
    os.write(writing, b"now\nthe res")
    output.drain()
    assert printed == [(17, "now")]
    os.close(writing)
    output.drain()
    assert printed == [(17, "now"), (17, "the res")]
    output.drain()
    output.close()


async def test_the_output_ends_with_the_last_writer() -> None:
    """A process that a child started may outlive the child, and may still print."""
    reading, writing = os.pipe()
    printed: list[str] = []
    Output(reading, 17, lambda _, line: printed.append(line))
    second = os.dup(writing)
    os.close(writing)
    os.write(second, b"still here\n")
    os.close(second)
    async with asyncio.timeout(PATIENCE):
        while printed != ["still here"]:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)


async def test_a_traceback_is_passed_on_whole() -> None:
    """It is one record, even if the child prints it line by line; and it is not held back for long."""
    reading, writing = os.pipe()
    printed: list[str] = []
    output = Output(reading, 17, lambda _, record: printed.append(record))
    traceback = ["ERROR in app: x", "Traceback (most recent call last):", "  File", "ValueError: y"]
    os.write(writing, f"{traceback[0]}\n{traceback[1]}\n".encode())
    async with asyncio.timeout(PATIENCE):
        while not output.holds_back:
            await asyncio.sleep(0)
    for line in traceback[2:]:
        os.write(writing, f"{line}\n".encode())
    async with asyncio.timeout(PATIENCE):
        while printed != ["\n".join(traceback)]:
            await asyncio.sleep(0)

    os.write(writing, b"Traceback (most recent call last):\n  half\n")
    async with asyncio.timeout(PATIENCE):
        while len(printed) < 2:
            await asyncio.sleep(0.01)
    output.close()
    os.close(writing)
    assert printed[1] == "Traceback (most recent call last):\n  half"


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_marks_divide_a_stream(piece: int) -> None:
    """However the stream is cut. A NUL that begins no mark is text. Of marks with nothing between them the last one
    counts."""
    stream = b"of before\n" + output_mark(7) + b"of 7\0\n" + output_mark(65_535) + output_mark(8) + b"of 8"
    marks = Marks()
    found: list[bytes | int] = []
    for at in range(0, len(stream), piece):
        found += marks.add(stream[at : at + piece])
    found.append(marks.end())
    joined: list[bytes | int] = []
    for each in found:
        if isinstance(each, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += each
        elif isinstance(each, int) and isinstance(joined[-1], int):
            joined[-1] = each
        elif each != b"":
            joined.append(each)
    assert joined == [b"of before\n", 7, b"of 7\0\n", 8, b"of 8"]
