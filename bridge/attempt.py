"""The attempt: one replay as remembered, small enough that an envelope can carry many."""

import re
from dataclasses import dataclass, replace
from datetime import datetime

MAX_MESSAGE = 500
MAX_TRACEBACK = 8_000
BRIEF_MESSAGE = 100
BRIEF_TRACEBACK = 2_000


@dataclass(frozen=True, slots=True)
class Error:
    """What went wrong in a replay. `type` is the app's exception type by name, or a word of ours in lower case."""

    type: str
    message: str
    traceback: str | None = None

    def bounded(self) -> "Error":
        """Return it cut to what an envelope and a header can carry, as text that can be encoded."""
        trace = None if self.traceback is None else cut_in_the_middle(encodable(self.traceback), MAX_TRACEBACK)
        return Error(encodable(self.type)[:200], cut_in_the_middle(encodable(self.message), MAX_MESSAGE), trace)

    def in_brief(self) -> "Error":
        """Return it cut to a few lines."""
        trace = None if self.traceback is None else cut_in_the_middle(self.traceback, BRIEF_TRACEBACK)
        return Error(self.type[:100], cut_in_the_middle(self.message, BRIEF_MESSAGE), trace)

    def without_traceback(self) -> "Error":
        """Return its summary, as the history of attempts keeps it."""
        return replace(self, traceback=None)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One replay: which one of which round, when it began, how many seconds it took, what it came to."""

    round: int
    number: int
    started: datetime
    seconds: float
    outcome: str
    release: str | None = None
    error: Error | None = None


_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(text: str, backslash: str = "\\") -> str:
    """Return the text with every lone surrogate spelled out, as in `\\udc80`: JSON may bring them, and no encoding
    takes them."""
    return text if text.isascii() else _SURROGATE.sub(lambda half: f"{backslash}u{ord(half[0]):x}", text)


def cut_in_the_middle(text: str, limit: int) -> str:
    """Return `text` in at most `limit` characters: its beginning and its end, and how much is missing between."""
    if len(text) <= limit:
        return text
    mark = f"\n… {len(text) - limit} characters cut …\n"
    kept = max(limit - len(mark), 2)
    return text[: kept // 2] + mark + text[-(kept - kept // 2) :]
