"""The error output of a request, STDERR: what `wsgi.errors` in its environ takes."""

from collections.abc import Callable, Iterable
from typing import Protocol

from app_adapter.standard_streams import say
from bridge.fastcgi.records import SENT_CONTENT, RecordType

_STDERR = int(RecordType.STDERR)


class Connection(Protocol):
    """The connection of the request."""

    def write(self, type_: int, request_id: int, content: bytes, /) -> None:
        """Add a record to the output."""


class ErrorOutput:
    """Takes any text of any size. A logger flushes it after each line, so it is gathered to large pieces.

    The client gets it as STDERR records. If `prints()` is true, it goes to this process's stderr too. Output after the
    request's end goes there in any case.
    """

    __slots__ = ("_begun", "_closed", "_connection", "_gathered", "_prints", "_request_id", "_said")

    def __init__(self, connection: Connection, request_id: int, prints: Callable[[], bool]) -> None:
        self._connection = connection
        self._request_id = request_id
        self._prints = prints
        self._gathered = bytearray()
        self._said = 0
        self._begun = self._closed = False

    def write(self, data: str | bytes) -> None:
        """Take a text."""
        if isinstance(data, str):
            data = data.encode("utf-8", "backslashreplace")
        if self._closed:
            say(data)
            return
        self._gathered += data
        if len(self._gathered) >= SENT_CONTENT:
            self.pass_on()

    def writelines(self, lines: Iterable[str | bytes]) -> None:
        """Take several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is new to this process's stderr, if the server wants that."""
        if len(self._gathered) > self._said and self._prints():
            say(bytes(self._gathered[self._said :]))
            self._said = len(self._gathered)

    def pass_on(self) -> None:
        """Send what was gathered to the client."""
        if not self._gathered:
            return
        self.flush()
        gathered, self._gathered, self._said = bytes(self._gathered), bytearray(), 0
        self._begun = True
        for at in range(0, len(gathered), SENT_CONTENT):
            self._connection.write(_STDERR, self._request_id, gathered[at : at + SENT_CONTENT])

    def close(self) -> None:
        """Send the rest, and the end of the output if there was any."""
        self.pass_on()
        if self._begun and not self._closed:
            self._connection.write(_STDERR, self._request_id, b"")
        self._closed = True
