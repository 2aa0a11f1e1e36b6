"""An excerpt: the beginning and the end of a stream of any length, in bounded memory."""


class Excerpt:
    """Keeps at most `limit` bytes of what is added: the first half from the beginning, the rest from the end."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = b""
        self._tail = b""
        self._seen = 0

    def add(self, data: bytes) -> None:
        """Add a piece of the stream."""
        self._seen += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail = (self._tail + data)[-self._half :]

    def bytes(self) -> bytes:
        """Return what was kept, and between the two ends how much is missing."""
        missing = self._seen - len(self._head) - len(self._tail)
        mark = f"\n… {missing} bytes cut …\n".encode() if missing else b""
        return self._head + mark + self._tail
