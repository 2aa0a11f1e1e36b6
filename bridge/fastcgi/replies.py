"""Replies: what a Responder's STDOUT and STDERR say, and the CGI header block at their beginning (RFC 3875, 6).

It reads contents and knows no records. What a status means for the caller is not decided here.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from bridge.fastcgi.errors import ProtocolError
from bridge.fastcgi.records import ProtocolStatus

SHORT_HEAD = 1024
"""Header blocks shorter than this are remembered as they were read: an application's replies begin much alike."""

_END_OF_BLOCK = re.compile(rb"\n\r?\n")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_STATUS = re.compile(r"([1-9][0-9]{2})(?: (.*))?")
_LENGTH = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many bytes of one reply are taken: of its header block, its body, and its error output.

    The defaults leave a header block room for an error with its traceback (nginx's own default is a page or two). A
    body and an error output are not kept here, so that theirs only end what never ends.
    """

    header: int = 128 * 1024
    body: int = 256 * 1024 * 1024
    error_output: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """The header block: the status (200, or 302 with a Location, where it names none), its reason (empty where it
    names none), and the fields but Status, in their order, as ISO-8859-1."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReplyBody:
    """A piece of the body, never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ErrorOutput:
    """A piece of what the application wrote to STDERR, never empty. It is untrusted text of any encoding."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """The reply is whole. `app_status` is the application's exit status, 0 to 2**32 - 1; `overlong` tells that the
    body went on past its Content-Length and was cut there."""

    app_status: int
    overlong: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The application did not take the request, and wrote nothing: CANT_MPX_CONN and OVERLOADED may be sent again
    without danger of a second run, UNKNOWN_ROLE would be refused for ever."""

    protocol_status: ProtocolStatus


ReplyEvent = ReplyHead | ReplyBody | ErrorOutput | ReplyEnd | Refused


class ReplyReader:
    """Reads one reply. It keeps the header block until that is whole, and nothing else.

    `bodiless`: the request was a HEAD, so that a Content-Length promises nothing about this reply's body.
    """

    __slots__ = ("_block", "_bodiless", "_errors", "_limits", "_promised", "_received", "headed")

    def __init__(self, limits: Limits, *, bodiless: bool) -> None:
        self._limits = limits
        self._bodiless = bodiless
        self._block = bytearray()
        self._promised: int | None = None
        self._received = 0
        self._errors = 0
        self.headed = False
        """Whether the header block is whole."""

    @property
    def began(self) -> bool:
        """Whether any byte of STDOUT has come."""
        return self.headed or bool(self._block)

    @property
    def overlong(self) -> bool:
        """Whether the body has gone on past its Content-Length."""
        return self._promised is not None and self._received > self._promised

    def output(self, content: bytes) -> list[ReplyEvent]:
        """Take the content of an STDOUT record and return what it completes."""
        if self.headed:
            return self._body(content)
        searched = max(len(self._block) - 2, 0)
        self._block += content
        end = _END_OF_BLOCK.search(self._block, searched)
        size = len(self._block) if end is None else end.end()
        if size > self._limits.header:
            raise ProtocolError(f"a header block of more than {self._limits.header} bytes: expected its end before")
        if end is None:
            return []
        block = self._block[: end.start() + 1].decode("latin-1")
        head, self._promised = _read_short_head(block) if len(block) < SHORT_HEAD else _read_head(block)
        if self._bodiless or head.status == 304:
            self._promised = None
        if self._promised is not None and self._promised > self._limits.body:
            raise ProtocolError(f"Content-Length {self._promised}: expected at most {self._limits.body} bytes of body")
        body = bytes(self._block[end.end() :])
        self.headed = True
        self._block = bytearray()
        return [head, *self._body(body)] if body else [head]

    def error_output(self, content: bytes) -> ErrorOutput:
        """Take the content of an STDERR record."""
        self._errors += len(content)
        if self._errors > self._limits.error_output:
            raise ProtocolError(f"error output of more than {self._limits.error_output} bytes")
        return ErrorOutput(content)

    def end(self, app_status: int) -> ReplyEnd:
        """Take the end of the reply. Raise `ProtocolError` where the body is shorter than its Content-Length."""
        if self._promised is not None and self._received < self._promised:
            raise ProtocolError(f"a body of {self._received} bytes: expected Content-Length {self._promised}")
        return ReplyEnd(app_status, self.overlong)

    def _body(self, data: bytes) -> list[ReplyEvent]:
        before = self._received
        self._received += len(data)
        if self._received > self._limits.body:
            raise ProtocolError(f"a body of more than {self._limits.body} bytes")
        if self._promised is not None and self._received > self._promised:
            data = data[: max(self._promised - before, 0)]
        return [ReplyBody(data)] if data else []


def _read_head(block: str) -> tuple[ReplyHead, int | None]:
    """Return the head that `block` (its lines, each with its end) holds, and its Content-Length."""
    lines = block.replace("\r\n", "\n")
    if "\r" in lines or "\0" in lines:
        raise ProtocolError(f"a bare CR or a NUL in the header block {block!r:.200}")
    headers: list[tuple[str, str]] = []
    status = length = location = None
    for line in lines[:-1].split("\n"):
        name, colon, value = line.partition(":")
        if not colon or _NAME.fullmatch(name) is None:
            raise ProtocolError(f"header line {line!r:.200}: expected a name, a colon and a value")
        value = value.strip(" \t")
        known = name.lower()
        if known == "status":
            if status is not None:
                raise ProtocolError(f"a second Status: {value!r:.100}")
            status = value
            continue
        if known == "content-length":
            if length is not None:
                raise ProtocolError(f"a second Content-Length: {value!r:.100}")
            length = value
        elif known == "location":
            location = value
        headers.append((name, value))
    code, reason = _read_status(status) if status is not None else (200 if location is None else 302, "")
    return ReplyHead(code, reason, tuple(headers)), None if length is None else _read_length(length)


_read_short_head = lru_cache(maxsize=64)(_read_head)


def _read_status(value: str) -> tuple[int, str]:
    match = _STATUS.fullmatch(value)
    if match is None:
        raise ProtocolError(f"Status {value!r:.100}: expected three digits and a reason")
    return int(match[1]), match[2] or ""


def _read_length(value: str) -> int:
    if _LENGTH.fullmatch(value) is None:
        raise ProtocolError(f"Content-Length {value!r:.100}: expected a number of bytes")
    return int(value)
