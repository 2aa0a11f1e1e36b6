"""A child's entry: the app under flup, on one socket that was inherited.

    python -P -m app_adapter.app_server --fd N --control M APP

It boots and warms the app, says on the control descriptor in one line of JSON that it is ready, or why not, and serves
FastCGI until the stream ends or SIGTERM comes (what runs is finished). Starting, watching and ending such processes is
the pool's task. flup is the protocol engine; the subclasses here make it write a reply in one piece, read through a
buffer, and keep every error of the exchange to itself.
"""

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import sys
import time
import traceback
from typing import Any

from flask import Flask
from flup.server import fcgi_base as fcgi
from flup.server.fcgi_single import WSGIServer

from app_adapter.booting import BootError, boot
from bridge.attempt import cut_in_the_middle

MAX_CONTENT = 65_528
READ_SIZE = WRITE_SIZE = 65_536
FAREWELL = 1.0
"""Seconds that the other side has to close, once it has its reply, before unread input is dropped."""
MESSAGE_KEPT = 16_000
_PR_SET_PDEATHSIG = 1
_HEADER = struct.Struct(">BBHHBx")


def main() -> int:
    """Boot, report and serve. Return the exit code: 0 after serving, 1 where the app cannot boot or the other side
    broke the protocol."""
    parser = argparse.ArgumentParser(prog="app_adapter.app_server", description="One process of the pool.")
    parser.add_argument("--fd", type=int, required=True, help="a connected stream socket to serve FastCGI on")
    parser.add_argument("--control", type=int, required=True, help="where to say in one line of JSON: ready, or failed")
    parser.add_argument("app", help="the app as 'flask --app' takes it, such as shop:app")
    arguments = parser.parse_args()
    began = time.monotonic()
    tie_to_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which then ends us in good order
    os.set_inheritable(arguments.control, False)
    sock = socket.socket(fileno=arguments.fd)
    keep_from_descendants(sock)
    with os.fdopen(arguments.control, "w", encoding="utf-8") as control:
        try:
            state = boot(arguments.app, serve)
        except (Exception, SystemExit) as error:
            told = str(error) if isinstance(error, BootError) else traceback.format_exc()
            print(json.dumps({"failed": cut_in_the_middle(told, MESSAGE_KEPT)}), file=control)
            return 1
        values = state.settings.values
        ready = {
            "boot_seconds": round(time.monotonic() - began, 3),
            "release": values.release,
            "host": state.site_host,
            "settings": values.model_dump(include={"broker_url", "namespace", "replay_path"}),
        }
        print(json.dumps({"ready": ready}), file=control)
    connection = _Connection(sock, _Server(state.app, debug=False))
    signal.signal(signal.SIGTERM, lambda *_: connection.drain())
    return 0 if connection.run() else 1


def tie_to_parent() -> None:
    """Let this process die when its parent does, on Linux; elsewhere the end of the stream alone ends it."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent has gone")


def keep_from_descendants(sock: socket.socket) -> None:
    """Close the socket in whatever the app starts or forks: while a copy is open, the worker cannot see our end."""
    owner = os.getpid()
    sock.set_inheritable(False)

    def let_go() -> None:
        if os.getpid() != owner and sock.fileno() >= 0:
            os.close(sock.detach())

    os.register_at_fork(after_in_child=let_go)


def serve(app: Flask, sock: socket.socket) -> None:
    """Serve FastCGI on a connected socket until its end."""
    _Connection(sock, _Server(app, debug=False)).run()


class _Output(fcgi.OutputStream):  # type: ignore[misc]
    """STDOUT or STDERR of a request. Of any text and size; what a thread writes after the end goes to stderr."""

    def write(self, data: str | bytes) -> None:
        if isinstance(data, str):
            data = data.encode("utf-8", "backslashreplace")
        if self.closed:
            sys.stderr.buffer.write(data)
        else:
            super().write(data)

    def close(self) -> None:
        super().close()
        self.closed = True

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        for at in range(0, len(data), MAX_CONTENT):
            self._conn.write(self._type, self._req.requestId, view[at : at + MAX_CONTENT])


class _Request(fcgi.Request):  # type: ignore[misc]
    """A request whose streams are ours."""

    def __init__(self, connection: "_Connection", input_stream: Any, timeout: Any) -> None:
        super().__init__(connection, input_stream, timeout)
        self.stdout = _Output(connection, self, fcgi.FCGI_STDOUT)
        self.stderr = _Output(connection, self, fcgi.FCGI_STDERR, buffered=True)


class _Server(WSGIServer):  # type: ignore[misc]
    """What flup's handler needs of a server; it never listens."""

    request_class = _Request
    maxwrite = MAX_CONTENT + fcgi.FCGI_HEADER_LEN


class _Connection(fcgi.Connection):  # type: ignore[misc]
    """The one connection of a child."""

    def __init__(self, sock: socket.socket, server: _Server) -> None:
        super().__init__(sock, None, server, None)
        sock.setblocking(True)
        self._input = sock.makefile("rb", READ_SIZE)
        self._output: list[bytes | memoryview] = []
        self._pending = 0
        self._keepGoing = True
        self._draining = False
        self._takers: dict[int, Any] = {
            fcgi.FCGI_BEGIN_REQUEST: self._do_begin_request,
            fcgi.FCGI_ABORT_REQUEST: self._do_abort_request,
            fcgi.FCGI_PARAMS: self._do_params,
            fcgi.FCGI_STDIN: self._do_stdin,
            fcgi.FCGI_DATA: self._do_data,
            fcgi.FCGI_GET_VALUES: self._do_get_values,
        }

    def run(self) -> bool:
        """Serve until the end of the stream, or of the request that runs when the drain begins."""
        try:
            while self._keepGoing:
                self.process_input()
        except EOFError:
            return True
        except (struct.error, IndexError, ValueError) as error:
            print(f"the FastCGI client broke the protocol: {error}", file=sys.stderr, flush=True)
            return False
        else:
            return True
        finally:
            self._cleanupSocket()

    def drain(self) -> None:
        """Finish the request that runs, and end; end at once when there is none."""
        self._draining = True
        if not self._requests:
            with contextlib.suppress(OSError):  # the other side has gone already
                self._sock.shutdown(socket.SHUT_RD)

    def process_input(self) -> None:
        """Take one record. Raise `EOFError` at the end of the stream."""
        record = fcgi.Record()
        record.version, record.type, record.requestId, record.contentLength, padding = _HEADER.unpack(
            self._exactly(_HEADER.size)
        )
        if record.version != fcgi.FCGI_VERSION_1:
            raise ValueError(f"a record of version {record.version}: expected 1")
        record.contentData = self._exactly(record.contentLength + padding)[: record.contentLength]
        taker: Any = self._takers.get(record.type, self._do_unknown_type)
        taker(record)

    def writeRecord(self, record: Any) -> None:
        """Write a record that flup made."""
        self.write(record.type, record.requestId, record.contentData)

    def write(self, type_: int, request_id: int, content: bytes | memoryview) -> None:
        """Write a record: with the others of its reply, once that ends or enough is together."""
        self._output += (_HEADER.pack(fcgi.FCGI_VERSION_1, type_, request_id, len(content), 0), content)
        self._pending += len(content)
        if type_ not in (fcgi.FCGI_STDOUT, fcgi.FCGI_STDERR) or self._pending >= WRITE_SIZE:
            self._send()

    def end_request(self, *arguments: Any, **named: Any) -> None:
        """End a request, and the connection after it when it drains."""
        super().end_request(*arguments, **named)
        if self._draining:
            self._keepGoing = False

    def _exactly(self, length: int) -> bytes:
        try:
            data: bytes = self._input.read(length)
        except OSError as error:
            raise EOFError from error
        if len(data) < length:
            raise EOFError
        return data

    def _send(self) -> None:
        data, self._output, self._pending = b"".join(self._output), [], 0
        try:
            self._sock.sendall(data)
        except OSError:
            # Nobody reads any more. What runs may still finish; the next read finds the end of the stream.
            self._keepGoing = False

    def _cleanupSocket(self) -> None:
        with contextlib.suppress(OSError):  # gone already, or still open when the farewell is over
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(FAREWELL)
            # Unread input would turn our close into a reset, and the reply's end might be lost with it.
            while self._sock.recv(READ_SIZE):
                pass
        self._input.close()
        self._sock.close()


if __name__ == "__main__":
    sys.exit(main())
