"""A child's entry: the app under flup, on one socket that was inherited.

    python -P -m app_adapter.app_server --fd N --control M APP

or the entry of a nursery, with `--nursery N` instead, which imports the app and forks such children.

It boots and warms the app, says on the control descriptor in one line of JSON that it is ready, or why not, and serves
FastCGI until the stream ends or SIGTERM comes (what runs is finished). Starting, watching and ending such processes is
the pool's task. flup is the protocol engine; the subclasses here make it write a reply in one piece, read through a
buffer, and keep every error of the exchange to itself.
"""

import argparse
import contextlib
import gc
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from flask import Flask
from flup.server import fcgi_base as fcgi
from flup.server.fcgi_single import WSGIServer

from app_adapter.booting import load, warm_up
from app_adapter.child_process import Wires, keep_from_descendants, prepare, reporting, tie_to_parent
from app_adapter.extension import AppState
from app_adapter.nursery import nurse
from bridge.fastcgi.params import decode_params

MAX_CONTENT = 65_528
READ_SIZE = WRITE_SIZE = 65_536
FAREWELL = 1.0
"""Seconds that the other side has to close, once it has its reply, before unread input is dropped."""
_HEADER = struct.Struct(">BBHHBx")


class Service(Protocol):
    """What a child does once it has booted, with the socket that it inherited."""

    def run(self) -> bool:
        """Serve until there is nothing more to serve. Return False where the other side broke the protocol."""

    def drain(self) -> None:
        """Finish what runs, and end. It is called by a signal, wherever the process is."""


def main(service: Callable[[socket.socket, "Server"], Service]) -> int:
    """Boot, report and serve, or be the nursery of children that do. Return the exit code: 0 after serving, 1 where
    the app cannot boot or the other side broke the protocol."""
    parser = argparse.ArgumentParser(prog="app_adapter.app_server", description="One process of the pool.")
    parser.add_argument("--fd", type=int, help="a connected stream socket to serve FastCGI on")
    parser.add_argument("--control", type=int, required=True, help="where to say in one line of JSON: ready, or failed")
    parser.add_argument("--stacks", type=int, help="where to write the stacks of all threads at SIGUSR2")
    parser.add_argument("--nursery", type=int, help="a socket that asks for children; in place of --fd and --stacks")
    parser.add_argument("app", help="the app as 'flask --app' takes it, such as shop:app")
    arguments = parser.parse_args()
    if (arguments.fd is None) is (arguments.nursery is None):
        parser.error("expected --fd or --nursery, one of them")
    tie_to_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which then ends us in good order
    if arguments.nursery is None:
        return _run_child(
            Wires(arguments.fd, arguments.control, arguments.stacks), lambda: load(arguments.app), service
        )
    state: list[AppState] = []
    with reporting(arguments.control) as say:
        state.append(load(arguments.app))
        say({"release": None, "host": "", "settings": {}})
    if not state:
        return 1
    wires = nurse(arguments.nursery)
    return 0 if wires is None else _run_child(wires, lambda: state[0], service)


def _run_child(
    wires: Wires, load: Callable[[], AppState], service: Callable[[socket.socket, "Server"], Service]
) -> int:
    began = time.monotonic()
    prepare(wires.stacks)
    sock = socket.socket(fileno=wires.serve)
    keep_from_descendants(sock)
    serving: Service | None = None
    with reporting(wires.control) as say:
        state = load()
        warm_up(state, serve)
        gc.collect()
        gc.freeze()  # a warm app lives as long as its child: the collector need not look through it again and again
        values = state.settings.values
        serving = service(sock, Server(state.app, debug=False))
        signal.signal(signal.SIGTERM, lambda *_: serving.drain())
        settings = values.model_dump(include={"broker_url", "namespace", "replay_path"})
        seconds = round(time.monotonic() - began, 3)
        say({"boot_seconds": seconds, "release": values.release, "host": state.site_host, "settings": settings})
    return 0 if serving is not None and serving.run() else 1


def serve(app: Flask, sock: socket.socket) -> None:
    """Serve FastCGI on a connected socket until its end."""
    Connection(sock, Server(app, debug=False)).run()


class _Output(fcgi.OutputStream):  # type: ignore[misc]  # flup has no types
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


class _Request(fcgi.Request):  # type: ignore[misc]  # flup has no types
    """A request whose streams are ours."""

    def __init__(self, connection: "Connection", input_stream: Any, timeout: Any) -> None:
        super().__init__(connection, input_stream, timeout)
        self.stdout = _Output(connection, self, fcgi.FCGI_STDOUT)
        self.stderr = _Output(connection, self, fcgi.FCGI_STDERR, buffered=True)
        self.encoded: list[bytes] = []  # a pair may begin in one PARAMS record and end in the next


class Server(WSGIServer):  # type: ignore[misc]  # flup has no types
    """What flup's handler needs of a server; it never listens."""

    request_class = _Request
    maxwrite = MAX_CONTENT + fcgi.FCGI_HEADER_LEN

    def handler(self, request: Any) -> Any:
        """Serve a request, without the client's `Proxy` header: as HTTP_PROXY it would be taken for the variable that
        says which proxy this process should use."""
        request.params.pop("HTTP_PROXY", None)
        return super().handler(request)


class Connection(fcgi.Connection):  # type: ignore[misc]  # flup has no types
    """The one connection of a child."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        super().__init__(sock, None, server, None)
        sock.setblocking(True)
        self._input = sock.makefile("rb", READ_SIZE)
        self._output: list[bytes | memoryview] = []
        self._pending = 0
        self._keepGoing = True
        self._draining = False
        self.broken = False
        """Whether the other side broke the protocol."""
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
        while self.advance():
            pass
        return not self.broken

    def advance(self) -> bool:
        """Take one record, with the whole request where that completes one. Return False at the connection's end: then
        it is closed."""
        going = False
        try:
            self.process_input()
            going = self._keepGoing
        except EOFError:
            pass
        except (struct.error, IndexError, ValueError) as error:
            self.broken = True
            print(f"the FastCGI client broke the protocol: {error}", file=sys.stderr, flush=True)
        finally:
            if not going:
                self._cleanupSocket()
        return going

    def drain(self) -> None:
        """Finish the request that runs, and end; end at once when there is none. What runs for nobody any more is
        interrupted, so that it may clean up."""
        self._draining = True
        if not self._requests:
            with contextlib.suppress(OSError):  # the other side has gone already
                self._sock.shutdown(socket.SHUT_RD)
        elif self._is_alone():
            raise KeyboardInterrupt

    def _is_alone(self) -> bool:
        try:
            return not self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def process_input(self) -> None:
        """Take one record. Raise `EOFError` at the end of the stream."""
        version, type_, request_id, length, padding = _HEADER.unpack(self._exactly(_HEADER.size))
        if version != fcgi.FCGI_VERSION_1:
            raise ValueError(f"a record of version {version}: expected 1")
        record = fcgi.Record(type_, request_id)
        record.contentLength = length
        if length or padding:
            record.contentData = self._exactly(length + padding)[:length]
        taker: Any = self._takers.get(type_, self._do_unknown_type)
        taker(record)

    def _do_params(self, record: Any) -> None:
        """Take parameters of a request, and run it at their end."""
        request = self._requests.get(record.requestId)
        if request is None:
            return
        if record.contentLength:
            request.encoded.append(record.contentData)
        else:
            request.params.update(decode_params(b"".join(request.encoded)))
            self._start_request(request)

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
    sys.exit(main(Connection))
