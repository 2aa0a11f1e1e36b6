"""A downstream service that is down now and then, as its own process. Knows nothing of the app or the bridge.

Run as `python -m examples.demo.downstream FD`, with a listening socket inherited as that file descriptor.
"""

import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CYCLE_SECONDS = 2.7  # no multiple of whole seconds: a retry that is due in some must not find it down again
DOWN_SECONDS = 0.7
"""At the end of each cycle it is down for so long."""

NOT_WANTED = "hook.repository.deleted"
ALWAYS_BROKEN = "hook.deployment.created"


def is_down(now: float) -> bool:
    """Tell whether the service is down at this moment of the monotonic clock."""
    return now % CYCLE_SECONDS > CYCLE_SECONDS - DOWN_SECONDS


class Service(BaseHTTPRequestHandler):
    """Answers a POST: 410 and 500 to the two kinds it never takes, 503 while it is down, else 204."""

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
        """Say nothing: there is a line for each request otherwise."""


def serve(listening: socket.socket) -> None:
    """Serve until the process is ended."""
    server = ThreadingHTTPServer(listening.getsockname(), Service, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    server.serve_forever()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
