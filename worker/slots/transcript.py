"""The output of an attempt: an excerpt of each stream for the transcript, and error output in the log."""

import logging

from bridge.console.app_output import records_of
from bridge.logger import log
from bridge.outcome import Exchange
from worker.slots.slot import NotTaken, Request


class Excerpt:
    """Keeps at most `limit` bytes of a stream: one half from its beginning, one from its end."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    def add(self, data: bytes) -> None:
        """Add a piece of the stream."""
        self._total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data[-self._half :]
            if len(self._tail) > 2 * self._half:  # seldom, so that many small pieces cost little
                del self._tail[: -self._half]

    def bytes(self) -> bytes:
        """Return the excerpt. If bytes are missing between the two ends, a line there says how many."""
        tail = self._tail[-self._half :]
        missing = self._total - len(self._head) - len(tail)
        mark = f"\n… {missing} bytes cut …\n".encode() if missing else b""
        return bytes(self._head + mark + tail)


def log_error_output(request: Request, exchange: Exchange | NotTaken) -> None:
    """Log the lines of FastCGI's error stream, where Flask's logger writes, with the event that they belong to. A log
    record of the app keeps its level; other lines are warnings. The middle of a long output was cut."""
    if isinstance(exchange, NotTaken) or not exchange.error_output:
        return
    about = {"event": request.event, "id": request.id}
    text = exchange.error_output.decode("utf-8", "backslashreplace")
    for level, record in records_of(text, logging.WARNING):
        log.log(level, "%s", record, extra=about)
