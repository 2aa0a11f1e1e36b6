"""The output of a child, read from a pipe in lines, gathered to log records, in bounded memory."""

import asyncio
import contextlib
import os
from collections.abc import Callable

from bridge.child_protocol import BEGINNING_OF_MARK, OUTPUT_MARKS
from bridge.console.app_output import PrintedRecords
from bridge.console.printable import printable

MAX_LINE = 8 * 1024
AT_ONCE = 64 * 1024
"""Bytes of one read: as much as a pipe holds."""

ENDED_AFTER = 0.2
"""Seconds without a further line after which a traceback is complete."""

OnPrinted = Callable[[int, str], None]
"""Called with a process id and a log record that the process wrote to its stdout or stderr: a line, or a traceback."""


class Lines:
    """Cuts a stream into lines that are safe to log. A line longer than `MAX_LINE` comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[str]:
        """Return the lines that this piece of the stream completes."""
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > MAX_LINE:
            lines.append(rest)
            rest = b""
        self._rest = rest
        return [_safe(line[at : at + MAX_LINE]) for line in lines for at in range(0, len(line) or 1, MAX_LINE)]

    def end(self) -> list[str]:
        """Return the last line, if it has no line end."""
        rest, self._rest = self._rest, b""
        return [_safe(rest)] if rest else []


class Marks:
    """Cuts a stream into its text and the output marks in it."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[bytes | int]:
        """Return the pieces of the text, and the request ids of the marks, in their order. Of marks that follow one
        another only the last one is returned. The beginning of a mark waits for the next piece of the stream."""
        text = self._rest + data
        self._rest = b""
        if b"\0" not in text:
            return [text]
        if (beginning := BEGINNING_OF_MARK.search(text)) is not None:
            text, self._rest = text[: beginning.start()], beginning[0]
        texts_and_numbers = OUTPUT_MARKS.split(text)
        return [int(found) if at % 2 else found for at, found in enumerate(texts_and_numbers) if found]

    def end(self) -> bytes:
        """Return what has waited, because nothing follows."""
        rest, self._rest = self._rest, b""
        return rest


class Output:
    """Reads a pipe until every process that could write to it has ended: a process that a child started may outlive
    the child."""

    def __init__(self, pipe: int, pid: int, on_printed: OnPrinted) -> None:
        self._pipe = pipe
        self._pid = pid
        self.on_printed = on_printed
        """Called for each record from now on."""
        self.on_mark: Callable[[int], None] = lambda request: None
        """Called for each output mark after which something may be printed, between what was printed before and after
        it."""
        self._marks = Marks()
        self._lines = Lines()
        self._records = PrintedRecords()
        self._ending: asyncio.TimerHandle | None = None
        self._open = True
        os.set_blocking(pipe, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pipe, self._read)

    @property
    def holds_back(self) -> bool:
        """True if the child has printed the beginning of a traceback."""
        return self._records.unfinished

    def watch(self, *, by_loop: bool) -> None:
        """Read what is printed at once, or when `read` is called."""
        if not self._open:
            return
        if by_loop:
            self._loop.add_reader(self._pipe, self._read)
        else:
            self._loop.remove_reader(self._pipe)

    def read(self) -> None:
        """Read what was printed."""
        if self._open:
            self._read()

    def drain(self) -> None:
        """Read all that has been written so far."""
        if self._open and (self._read() or self.holds_back):
            self._end_record()

    def close(self) -> None:
        """Read no more. A second call changes nothing."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(RuntimeError):  # the loop has ended before us
            self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        self._pass_on(self._lines.add(self._marks.end()))
        self._end_line()

    def _end_line(self) -> None:
        self._pass_on(self._lines.end())
        self._end_record()

    def _read(self) -> bool:
        """Read once. Return False if there is nothing to read."""
        try:
            data = os.read(self._pipe, AT_ONCE)
        except BlockingIOError:
            return False
        for piece in self._marks.add(data):
            if isinstance(piece, int):
                self._end_line()
                self.on_mark(piece)
            else:
                self._pass_on(self._lines.add(piece))
        if not data:
            self.close()
        return True

    def _pass_on(self, lines: list[str]) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        self._tell(self._records.add(lines))
        if self._records.unfinished and self._open:
            self._ending = self._loop.call_later(ENDED_AFTER, self._end_record)

    def _end_record(self) -> None:
        self._tell(self._records.end())

    def _tell(self, records: list[str]) -> None:
        for record in records:
            self.on_printed(self._pid, record)


def _safe(line: bytes) -> str:
    return printable(line.decode("utf-8", "backslashreplace").rstrip("\r"), lines=True)
