"""Somebody else's API: a real HTTP server that takes a number of calls a second, and answers 429 to the others."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class SlowApi(ThreadingHTTPServer):
    """Takes at most `rate` calls within each second. `taken` has the paths of the calls that it took, `refused` counts
    the others."""

    def __init__(self, rate: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[str] = []
        self.refused = 0
        self._rate = rate
        self._times: list[float] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The URL below which each path can be called."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def takes(self, path: str) -> bool:
        """Take a call, or refuse it."""
        with self._lock:
            now = time.monotonic()
            self._times = [at for at in self._times if now - at < 1.0]
            if len(self._times) >= self._rate:
                self.refused += 1
                return False
            self._times.append(now)
            self.taken.append(path.lstrip("/"))
            return True


class _Handler(BaseHTTPRequestHandler):
    server: SlowApi

    def do_POST(self) -> None:
        taken = self.server.takes(self.path)
        self.send_response(200 if taken else 429)
        if not taken:
            self.send_header("Retry-After", "1")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def slow_api(rate: int) -> Iterator[SlowApi]:
    """Run an API that takes `rate` calls a second."""
    with SlowApi(rate) as api:
        thread = threading.Thread(target=api.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()
