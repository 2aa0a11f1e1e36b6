"""What a child prints, a line at a time, in bounded memory, and without end."""

import asyncio
import contextlib
import os
from collections.abc import Callable

MAX_LINE = 8 * 1024
AT_ONCE = 64 * 1024
"""Bytes of one read: as much as a pipe holds."""

Hear = Callable[[int, str], None]
"""Hears each line that a process (named by its id) writes to its stdout or stderr."""


class Lines:
    """Cuts a stream into lines that are safe to log. A line without end is told in pieces."""

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
        """Return what came after the last line's end."""
        rest, self._rest = self._rest, b""
        return [_safe(rest)] if rest else []


class Output:
    """Reads a pipe until everybody who could write to it has ended: what a child started may outlive it."""

    def __init__(self, pipe: int, pid: int, hear: Hear) -> None:
        self._pipe = pipe
        self._pid = pid
        self.hear = hear
        """Who hears it from now on."""
        self._lines = Lines()
        self._open = True
        os.set_blocking(pipe, False)
        asyncio.get_running_loop().add_reader(pipe, self._read)

    def drain(self) -> None:
        """Hear now what was written before now."""
        if self._open:
            self._read()

    def close(self) -> None:
        """Read no more. Twice is no harm."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(RuntimeError):  # the loop has ended before us
            asyncio.get_running_loop().remove_reader(self._pipe)
        os.close(self._pipe)
        self._tell(self._lines.end())

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, AT_ONCE)
        except BlockingIOError:
            return
        self._tell(self._lines.add(data))
        if not data:
            self.close()

    def _tell(self, lines: list[str]) -> None:
        for line in lines:
            self.hear(self._pid, line)


def _safe(line: bytes) -> str:
    text = line.decode("utf-8", "backslashreplace").rstrip("\r")
    return "".join(letter if letter.isprintable() or letter == "\t" else repr(letter)[1:-1] for letter in text)
