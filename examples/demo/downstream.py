"""A downstream service that is down from time to time, in its own process. It does not know the app or the bridge.

Run as `python -m examples.demo.downstream FD`, with a listening socket inherited as that file descriptor.
"""

import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CYCLE_SECONDS = 2.7  # not whole seconds: a retry after whole seconds must not find the service down each time
DOWN_SECONDS = 0.7
"""Seconds at the end of each cycle in which the service is down."""

NOT_WANTED = "hook.repository.deleted"
ALWAYS_BROKEN = "hook.deployment.created"


def is_down(now: float) -> bool:
    """Return True if the service is down at this time of the monotonic clock."""
    return now % CYCLE_SECONDS > CYCLE_SECONDS - DOWN_SECONDS


class Service(BaseHTTPRequestHandler):
    """Answers a POST: 410 and 500 to two kinds of events that it always refuses, 503 while it is down, else 204."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.headers.get("X-Event-Name")
        if name == NOT_WANTED:
            self.send_response(410)
        elif name == ALWAYS_BROKEN:
            self.send_response(500)
        else:
            self.send_response(503 if is_down(time.monotonic()) else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the base class logs a line for each request."""


def serve(listening: socket.socket) -> None:
    """Serve until the process ends."""
    server = ThreadingHTTPServer(listening.getsockname(), Service, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    server.serve_forever()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
