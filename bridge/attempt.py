"""The record of one replay attempt, small enough that an envelope can carry many."""

import re
from dataclasses import dataclass, replace
from datetime import datetime

MAX_MESSAGE = 500
MAX_TRACEBACK = 8_000
MAX_OUTCOME = 100
MAX_RELEASE = 200
BRIEF_MESSAGE = 100
BRIEF_TRACEBACK = 2_000


@dataclass(frozen=True, slots=True)
class Error:
    """The error of a replay. `type` is the name of the app's exception type, or a lower-case word of the bridge."""

    type: str
    message: str
    traceback: str | None = None

    def bounded(self) -> "Error":
        """Return the error cut to the size that an envelope and a header can carry, as text that can be encoded."""
        trace = None if self.traceback is None else cut_in_the_middle(encodable(self.traceback), MAX_TRACEBACK)
        return Error(encodable(self.type)[:200], cut_in_the_middle(encodable(self.message), MAX_MESSAGE), trace)

    def in_brief(self) -> "Error":
        """Return the error cut to a few lines."""
        trace = None if self.traceback is None else cut_in_the_middle(self.traceback, BRIEF_TRACEBACK)
        return Error(self.type[:100], cut_in_the_middle(self.message, BRIEF_MESSAGE), trace)

    def without_traceback(self) -> "Error":
        """Return the error without its traceback, as the history of attempts keeps it."""
        return replace(self, traceback=None)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One replay: its round, its number in the round (from 1), its start time, its duration in seconds, its outcome."""

    round: int
    number: int
    started: datetime
    seconds: float
    outcome: str
    release: str | None = None
    error: Error | None = None

    def bounded(self) -> "Attempt":
        """Return the attempt as the history keeps it: its texts cut, as text that can be encoded, no traceback."""
        return replace(
            self,
            outcome=encodable(self.outcome[:MAX_OUTCOME])[:MAX_OUTCOME],
            release=self.release and encodable(self.release[:MAX_RELEASE])[:MAX_RELEASE],
            error=self.error and self.error.bounded().without_traceback(),
        )


_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(text: str, backslash: str = "\\") -> str:
    """Return the text with every lone surrogate escaped, as in `\\udc80`. JSON can contain lone surrogates, and UTF-8
    cannot encode them."""
    return text if text.isascii() else _SURROGATE.sub(lambda half: f"{backslash}u{ord(half[0]):x}", text)


def cut_in_the_middle(text: str, limit: int) -> str:
    """Return `text` in at most `limit` characters: its beginning, a note of how much is cut, and its end."""
    if len(text) <= limit:
        return text
    mark = f"\n… {len(text) - limit} characters cut …\n"
    room = max(limit - len(mark), 2)
    return text[: room // 2] + mark + text[-(room - room // 2) :]
