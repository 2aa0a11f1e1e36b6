"""One log of several processes: each line with the name of its process, in a colour of its own on a terminal."""

import io
import json
import os
import sys
from typing import TextIO

_COLOURS = ("36", "33", "35", "32", "34", "96", "93", "95")
_LONGEST = 1 << 20
"""A line is cut after this many bytes."""


class OneLog:
    """Writes the lines of all processes to one stream. With `as_json`, a line that is a JSON object gets the name of
    the process as its first key, `process`; any other line becomes such an object.

    Lines that the stream does not take, because its disk is full for example, are dropped, and their number is told
    in the name of `own` as soon as it takes lines again: the processes must not wait for their log. The stream's own
    buffer is passed by, for it would keep such lines, and nobody would know how many."""

    def __init__(self, own: str, names: list[str], *, as_json: bool, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._as_json = as_json
        self._own = own
        names = [own, *names]
        self._width = max(map(len, names))
        is_coloured = self._stream.isatty() and "NO_COLOR" not in os.environ
        self._colours = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(names)} if is_coloured else {}
        self._dropped = 0
        self._reason = ""
        self._is_torn = False

    def write(self, name: str, line: bytes) -> None:
        """Write one line of a process, or drop it."""
        text = self._line(name, line.decode(errors="backslashreplace").rstrip("\r\n"))
        if self._dropped:
            text = self._line(self._own, f"lines of this log that are lost: {self._dropped} ({self._reason})") + text
        if self._is_torn:
            text = "\n" + text
        try:
            self._write(text.encode(self._stream.encoding, "backslashreplace"))
        except OSError as error:
            self._dropped += 1
            self._reason = error.strerror or str(error)
        else:
            self._dropped = 0

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._stream.fileno(), data) :]
            self._is_torn = bool(data)

    def _line(self, name: str, text: str) -> str:
        return f"{self._object(name, text) if self._as_json else self._prefixed(name, text)}\n"

    def _prefixed(self, name: str, text: str) -> str:
        prefix = f"{name:<{self._width}} |"
        colour = self._colours.get(name)
        return f"\x1b[{colour}m{prefix}\x1b[0m {text}" if colour else f"{prefix} {text}"

    def _object(self, name: str, text: str) -> str:
        process = f'{{"process": {json.dumps(name)}, '
        if text.startswith("{") and text.endswith("}") and len(text) > len("{}"):
            return process + text[1:]
        return process + f'"message": {json.dumps(text)}}}'


class OwnLines(io.TextIOBase):
    """A stream whose lines are those of `bridge-site` itself in the one log."""

    def __init__(self, log: OneLog, name: str) -> None:
        self._log = log
        self._name = name

    def write(self, text: str) -> int:
        """Write whole lines."""
        for line in text.splitlines():
            self._log.write(self._name, line.encode(errors="backslashreplace"))
        return len(text)


class Lines:
    """Splits the output of a process into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> list[bytes]:
        """Return the lines that are whole after these bytes, or longer than any line should be."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
            self._rest = b""
        return lines

    def rest(self) -> list[bytes]:
        """Return what is left at the end."""
        return [self._rest] if self._rest else []
