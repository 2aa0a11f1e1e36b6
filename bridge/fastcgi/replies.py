"""The reply of a Responder: its STDOUT, which begins with the CGI header block (RFC 3875, section 6), and its STDERR.

This file reads the contents of records. It does not decide about the meaning of a status.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from bridge.fastcgi.errors import ProtocolError
from bridge.fastcgi.reply_events import ErrorOutput, ReplyBody, ReplyEnd, ReplyEvent, ReplyHead

SHORT_HEAD = 1024
"""Header blocks shorter than this are cached in parsed form, because most replies of an application have the same
block."""

_END_OF_BLOCK = re.compile(rb"\n\r?\n")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_STATUS = re.compile(r"([1-9][0-9]{2})(?: (.*))?")
_LENGTH = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest header block, body and error output of one reply, in bytes, and its most small records.

    The default for the header block leaves room for an error with its traceback (nginx's default is 4 or 8 KiB). Bodies
    and error output are not stored here, so their limits only stop an endless reply.
    """

    header: int = 128 * 1024
    body: int = 256 * 1024 * 1024
    error_output: int = 64 * 1024 * 1024
    small_records: int = 50_000


class ReplyReader:
    """Reads one reply. It stores the header block until the block is whole, and nothing else.

    `bodiless`: the request was a HEAD, so the reply has no body even if it has a Content-Length.
    """

    __slots__ = ("_announced", "_block", "_bodiless", "_errors", "_limits", "_received", "headed")

    def __init__(self, limits: Limits, *, bodiless: bool) -> None:
        self._limits = limits
        self._bodiless = bodiless
        self._block = bytearray()
        self._announced: int | None = None
        self._received = 0
        self._errors = 0
        self.headed = False
        """True if the header block is whole."""

    @property
    def began(self) -> bool:
        """True if any byte of STDOUT has arrived."""
        return self.headed or bool(self._block)

    @property
    def overlong(self) -> bool:
        """True if the body is longer than its Content-Length."""
        return self._announced is not None and self._received > self._announced

    def output(self, content: bytes) -> list[ReplyEvent]:
        """Process the content of an STDOUT record, and return the events that it completes."""
        if self.headed:
            return self._body(content)
        searched = max(len(self._block) - 2, 0)
        self._block += content
        end = _END_OF_BLOCK.search(self._block, searched)
        size = len(self._block) if end is None else end.end()
        if size > self._limits.header:
            raise ProtocolError(f"a header block of more than {self._limits.header} bytes: expected a shorter one")
        if end is None:
            return []
        block = self._block[: end.start() + 1].decode("latin-1")
        head, self._announced = _read_short_head(block) if len(block) < SHORT_HEAD else _read_head(block)
        if self._bodiless or head.status == 304:
            self._announced = None
        if self._announced is not None and self._announced > self._limits.body:
            raise ProtocolError(f"Content-Length {self._announced}: expected at most {self._limits.body} bytes of body")
        body = bytes(self._block[end.end() :])
        self.headed = True
        self._block = bytearray()
        return [head, *self._body(body)] if body else [head]

    def error_output(self, content: bytes) -> ErrorOutput:
        """Process the content of an STDERR record, and return it as an event."""
        self._errors += len(content)
        if self._errors > self._limits.error_output:
            raise ProtocolError(f"error output of more than {self._limits.error_output} bytes")
        return ErrorOutput(content)

    def end(self, app_status: int) -> ReplyEnd:
        """End the reply. Raise `ProtocolError` if the body is shorter than its Content-Length."""
        if self._announced is not None and self._received < self._announced:
            raise ProtocolError(f"a body of {self._received} bytes: expected Content-Length {self._announced}")
        return ReplyEnd(app_status, self.overlong)

    def _body(self, data: bytes) -> list[ReplyEvent]:
        before = self._received
        self._received += len(data)
        if self._received > self._limits.body:
            raise ProtocolError(f"a body of more than {self._limits.body} bytes")
        if self._announced is not None and self._received > self._announced:
            data = data[: max(self._announced - before, 0)]
        return [ReplyBody(data)] if data else []


def _read_head(block: str) -> tuple[ReplyHead, int | None]:
    """Return the head in a header block (whole lines), and its Content-Length."""
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
        lowered = name.lower()
        if lowered == "status":
            if status is not None:
                raise ProtocolError(f"a second Status: {value!r:.100}")
            status = value
            continue
        if lowered == "content-length":
            if length is not None:
                raise ProtocolError(f"a second Content-Length: {value!r:.100}")
            length = value
        elif lowered == "location":
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
