"""The log level of the lines that an app wrote to its standard error or to FastCGI's error stream.

A line keeps the app's own level if it shows one in the default format of Flask or of Python's `logging`, with or
without a time before it.
"""

import logging
import re

_HEAD = re.compile(r"[\d\s:.,TZ+/\[\]-]*(?:[\w.]+ - )?\[?(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_TRACEBACK = "Traceback (most recent call last):"
_TRACED = re.compile(r"[ +|]*(Exception Group )?" + re.escape(_TRACEBACK))


def level_of(line: str, default: int) -> int:
    """Return the level that a line shows, ERROR for the first line of a traceback, and `default` for other lines."""
    if line.startswith(_TRACEBACK):
        return logging.ERROR
    head = _HEAD.match(line)
    return default if head is None else logging.getLevelNamesMapping()[head[1]]


def records_of(text: str, default: int) -> list[tuple[int, str]]:
    """Split a text into log records, each with its level. A record begins at a line that shows a level and includes the
    lines after it, such as a traceback. Lines before the first such line are one record with the level of their first
    line."""
    records: list[list[str]] = []
    for line in text.splitlines():
        if not records or _HEAD.match(line):
            records.append([])
        records[-1].append(line)
    return [(level_of(lines[0], default), "\n".join(lines)) for lines in records]


class PrintedRecords:
    """Gathers printed lines to records: a traceback is one record, with the line before it if that line shows a level.
    Every other line is a record."""

    LONGEST = 1000
    """Lines of the longest record. A longer one comes in parts."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._traced = False

    @property
    def unfinished(self) -> bool:
        """True if the last record is a traceback whose end has not come."""
        return bool(self._open)

    def add(self, lines: list[str]) -> list[str]:
        """Return the records that are complete with these lines, which were printed together."""
        records: list[str] = []
        for line in lines:
            head, traced = _HEAD.match(line) is not None, _TRACED.match(line) is not None
            belongs = self._open and (not head if self._traced else traced)
            if not belongs or len(self._open) >= self.LONGEST:
                records += self.end()
            self._open.append(line)
            self._traced = self._traced or traced
            if not self._traced and not head:
                records += self.end()
        last = self._open[-1] if self._open else ""
        if not self._traced or (last.strip() and not last[0].isspace() and not _TRACED.match(last)):
            records += self.end()
        return records

    def end(self) -> list[str]:
        """Return the last record, if it is unfinished."""
        lines, self._open, self._traced = self._open, [], False
        return ["\n".join(lines)] if lines else []
