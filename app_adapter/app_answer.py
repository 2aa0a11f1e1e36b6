"""The app's own answer to a replay, before the receiver replaces it by its verdict or passes it on."""

import contextvars
from collections.abc import Callable, Generator, Iterable
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class AppAnswer:
    """The app's own answer, before it is sent."""

    __slots__ = ("_written", "headers", "status")

    def __init__(self) -> None:
        self.status = "500 Internal Server Error"
        self.headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []

    def run(
        self, app: WSGIApplication, environ: WSGIEnvironment, is_judged: Callable[[], bool]
    ) -> Generator[bytes, None, None] | None:
        """Run the app. Without a verdict, return the chunks of its answer, of which the first has been made. With one,
        read the answer to its end, because a streaming answer may run the app's code while it is read."""
        body = app(environ, self._start_response)
        if not is_judged():  # a middleware may call the rest of the app when its answer is read
            body = chunks = self._chunks(body)
            beginning = next(chunks, b"")
            if not is_judged():
                return _rejoined(beginning, chunks)
        try:
            for _ in body:
                pass
        finally:
            _close(body)
        return None

    def pass_on(
        self, start_response: StartResponse, context: contextvars.Context, chunks: Generator[bytes, None, None]
    ) -> Iterable[bytes]:
        """Answer with these chunks, which are made in this context, and with the app's own status and headers. Only the
        receiver may send headers of the bridge."""
        start_response(self.status, [header for header in self.headers if not header[0].lower().startswith("bridge-")])
        return _in_context(context, chunks)

    def _chunks(self, body: Iterable[bytes]) -> Generator[bytes, None, None]:
        """Yield the answer's body; close the body at its end."""
        try:
            yield from self._written
            yield from body
        finally:
            _close(body)

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        self.status, self.headers = status, headers
        return self._written.append


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _in_context(context: contextvars.Context, chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Yield the chunks. The code that makes them, and that ends after them, runs in the context."""
    end = object()
    try:
        while (chunk := context.run(next, chunks, end)) is not end:
            yield cast(bytes, chunk)
    finally:
        context.run(chunks.close)


def _rejoined(beginning: bytes, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    yield beginning
    yield from chunks
