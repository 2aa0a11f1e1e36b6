"""The fingerprint of an error: its type, its message without the values in it, and the place in the app's own code.

Errors with the same fingerprint have the same cause, as far as a program can know. Line numbers, releases and values do
not count, so that a group of failures survives a deploy.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_SOURCE = 160
"""The first characters of a message that count. The history has no more than 200 of them."""

MAX_TEMPLATE = 80
"""The first characters of a template that count: a long value is then cut off in the same place as a short one."""

MAX_PLACE = 200
ID_LENGTH = 8

_HEADER = "Traceback (most recent call last):"
_FRAME = re.compile(r'^[\s|]*File "([^"\n]+)", line \d+, in ([^\n]+)$', re.MULTILINE)
_ENDS_OF_CHAIN = ("the following exception:", "another exception occurred:")
_NOT_OF_APP = re.compile(r"[/\\](?:site-packages|dist-packages|lib/python3(?:\.\d+)?)[/\\]|^<")

_VALUES = re.compile(
    r"""
    (?P<kept>\b(?:status|answered|http|code|errno|signal|exit)\b[\s:=]{0,2}(?:code[\s:=])?-?\d{1,5}\b)
    | (?P<quoted>(?<!\w)(?:
        '[^'\n]*(?:'(?!\w)|$) | "[^"\n]*(?:"|$) | `[^`\n]*(?:`|$) | «[^»\n]*(?:»|$) | “[^”\n]*(?:”|$)
      ))
    | (?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)
    | (?P<address>\b0x[0-9a-f]+\b)
    | (?P<hex>\b(?=[a-f]*[0-9])[0-9a-f]{7,}\b)
    | (?P<mail>[^\s<>'"@]+@[^\s<>'"@]+\.\w+)
    | (?P<number>\d+(?:[.,:]\d+)*)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BLANKS = {"quoted": "'…'", "uuid": "#", "address": "#", "hex": "#", "mail": "…@…", "number": "#"}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The parts of an error that do not change between its occurrences. `place` is empty if no traceback is known."""

    type: str
    template: str
    place: str

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that name the group of all errors with this fingerprint."""
        parts = "\0".join((self.type, self.template, self.place)).encode(errors="backslashreplace")
        return hashlib.sha256(parts).hexdigest()[:ID_LENGTH]

    @property
    def title(self) -> str:
        """The error in one line, for people: `KeyError: '…', in shop/mails.py welcome`."""
        message = f": {self.template}" if self.template else ""
        return f"{self.type}{message}{f', in {self.place}' if self.place else ''}"


@lru_cache(maxsize=4096)
def fingerprint_of(type: str, message: str, place: str | None) -> Fingerprint:
    """Return the fingerprint of an error. `place` is that of `place_of`."""
    return Fingerprint(type, template_of(message), place or "")


def template_of(message: str) -> str:
    """Return the beginning of a message with each number, id, hexadecimal number, UUID, mail address and quoted value
    replaced by a blank. A status, exit code, signal or errno stays, because it says what happened."""
    blanked = _VALUES.sub(_blank, message[:MAX_SOURCE])
    return " ".join(blanked.split())[:MAX_TEMPLATE].rstrip()


def place_of(traceback: str | None) -> str | None:
    """Return the innermost frame of the app's own code in a traceback as Python prints it: `shop/mails.py welcome`, the
    last two parts of the path and the function. None if there is no frame.

    Of chained exceptions the last one counts, which was raised; of several tracebacks the first one. If no frame is the
    app's, the first frame counts, which is the listener's.
    """
    if not traceback:
        return None
    frames = _FRAME.findall(_raised(traceback))
    own = [frame for frame in frames if not _NOT_OF_APP.search(frame[0])]
    if not frames:
        return None
    return _place(own[-1] if own else frames[0])


def _raised(traceback: str) -> str:
    """Return the part of the traceback that belongs to the raised exception, after those that led to it."""
    parts = traceback.split(_HEADER)
    for part in parts[1:]:
        if not part.rstrip(" \n|+-").endswith(_ENDS_OF_CHAIN):
            return part
    return parts[-1]


def _place(frame: Sequence[str]) -> str:
    path, function = frame
    *folders, file = re.split(r"[/\\]", path)
    folder = (
        _VALUES.sub(_blank, folders[-1]) + "/" if folders and folders[-1] else ""
    )  # it may be named after a release
    return f"{folder}{file} {function}"[:MAX_PLACE]


def _blank(found: re.Match[str]) -> str:
    return found[0] if found.lastgroup == "kept" else _BLANKS[str(found.lastgroup)]
