"""A FastCGI connection under flup, in whole records. It keeps the errors of one exchange from the next."""

import contextlib
import socket
import struct
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from flup.server import fcgi_base as fcgi

from app_adapter.flup_request import FlupServer, Request
from app_adapter.idle import IdleHooks
from app_adapter.plain_sockets import has_hung_up, readable
from app_adapter.request_reader import RequestReader, WholeRequest
from app_adapter.standard_streams import say
from app_adapter.start_tokens import StartTokens
from bridge.fastcgi import ProtocolError
from bridge.fastcgi.params import ParamsDecoder
from bridge.fastcgi.records import Record

READ_SIZE = WRITE_SIZE = 65_536
MAX_HEAD = 1024 * 1024
"""The most bytes of a request before its app runs: the parameters, and what came of the body by then."""

FAREWELL = 1.0
"""Seconds that the client has after the reply to close the connection, before unread input is dropped."""
_HEADER = struct.Struct(">BBHHBx")
_BEGIN = struct.Struct(fcgi.FCGI_BeginRequestBody)
_END = struct.Struct(">BBHHBxLB3x")
_LENGTH_OF_END = _END.size - _HEADER.size


class FlupConnection(fcgi.Connection):  # type: ignore[misc]  # flup has no types
    """A connection that a child serves. With `tokens`, a request begins only if it has a start token, and is dropped
    otherwise."""

    def __init__(
        self,
        sock: socket.socket,
        server: FlupServer,
        idle: IdleHooks | None = None,
        tokens: StartTokens | None = None,
    ) -> None:
        super().__init__(sock, None, server, None)
        self._idle = idle
        self._tokens = tokens
        sock.settimeout(None)  # the app may have set another default
        self._records = RequestReader()
        self._params = ParamsDecoder()
        self._output: list[bytes | memoryview] = []
        self._pending = 0
        self._head_size = 0
        self._keepGoing = True
        self._draining = False
        self.gone = False
        """True if the client did not take a part of a reply."""
        self.broken = False
        """True if the client broke the protocol."""

    @cached_property
    def _handlers(self) -> dict[int, Any]:
        """The handlers of records, by type. A request that arrives whole needs none."""
        return {
            fcgi.FCGI_BEGIN_REQUEST: self._do_begin_request,
            fcgi.FCGI_ABORT_REQUEST: self._do_abort_request,
            fcgi.FCGI_PARAMS: self._do_params,
            fcgi.FCGI_STDIN: self._do_stdin,
            fcgi.FCGI_DATA: lambda _: None,  # the stream of a role that is not served
            fcgi.FCGI_GET_VALUES: self._with_flups_record(self._do_get_values),
        }

    def run(self) -> bool:
        """Serve until the end of the stream, or of the running request after `drain()`. Return False if the client
        broke the protocol."""
        while self.take(self._next_bytes()):
            pass
        return not self.broken

    def _next_bytes(self) -> bytes:
        """Wait for bytes, and call the idle hooks that come due before a request begins to arrive."""
        if self._idle is not None and not self._requests and not self._records.pending:
            self._idle.wait(self._sock)
        return self._received()

    def _wait_for_token(self, sock: socket.socket) -> None:
        """Wait for a start token, and call the idle hooks that come due meanwhile."""
        if self._idle is not None:
            self._idle.wait(sock)
        readable(None, sock)

    def take(self, data: bytes) -> bool:
        """Process received bytes, b"" for the end of the stream, and serve the requests that they complete. Return
        False at the connection's end; the connection is closed then."""
        going = False
        try:
            if data:
                self._records.feed(data)
                while self._keepGoing and self._process_next():
                    pass
                going = self._keepGoing
        except EOFError:  # no further token comes: the worker has gone, or this child ends
            pass
        except (ProtocolError, struct.error, IndexError, ValueError) as error:
            self.broken = True
            say(f"the FastCGI client broke the protocol: {error}\n")
        finally:
            if not going:
                self._cleanupSocket()
        return going

    def drain(self) -> None:
        """Finish the running request and end, or end at once if none runs. Interrupt a request whose client has gone,
        so that the app can clean up. No further request gets a start token."""
        self._draining = True
        if self._tokens is not None:
            self._tokens.end()
        if not self._requests:
            with contextlib.suppress(OSError):  # the client has gone already
                self._sock.shutdown(socket.SHUT_RD)
        elif self.is_alone():
            raise KeyboardInterrupt

    def is_alone(self) -> bool:
        """Return True if the client has closed the connection."""
        try:
            return not self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except (BlockingIOError, TimeoutError):
            return False
        except OSError:
            return True

    def process_input(self) -> None:
        """Wait for a record while a request runs, and process it. Raise `EOFError` at the end of the stream."""
        while (record := self._records.next_record()) is None:
            data = self._received()
            if not data:
                self.end_after_request()
                raise EOFError
            self._records.feed(data)
        self._process(record)

    def has_hung_up(self) -> bool:
        """Return True if the client has closed both directions of the connection."""
        return has_hung_up(self._sock)

    def writeRecord(self, record: Any) -> None:
        """Send a record that flup made."""
        self.write(record.type, record.requestId, record.contentData)
        self.send_pending()

    def write(self, type_: int, request_id: int, content: bytes | memoryview) -> None:
        """Add a record to the output, and send the output if it has `WRITE_SIZE` bytes."""
        self._output += (_HEADER.pack(fcgi.FCGI_VERSION_1, type_, request_id, len(content), 0), content)
        self._pending += len(content)
        if self._pending >= WRITE_SIZE:
            self.send_pending()

    def send_pending(self) -> None:
        """Send the output."""
        data, self._output, self._pending = b"".join(self._output), [], 0
        if self.gone or not data:
            return
        try:
            self._sock.sendall(data)
        except OSError:
            self.gone = True
            self._keepGoing = False

    def end_request(self, request: Any, appStatus: int = 0, protocolStatus: int = 0, remove: bool = True) -> None:
        """Send the output with END_REQUEST at its end. The request stays until `forget()`, because its app may still
        run. If it was the last one, the client sees the end of the stream at once."""
        number, kind = request.requestId, fcgi.FCGI_END_REQUEST
        self._output.append(_END.pack(fcgi.FCGI_VERSION_1, kind, number, _LENGTH_OF_END, 0, appStatus, protocolStatus))
        self.send_pending()
        if remove and (self._draining or not request.flags & fcgi.FCGI_KEEP_CONN):
            self.end_after_request()
            with contextlib.suppress(OSError):  # the client has gone
                self._sock.shutdown(socket.SHUT_WR)

    def end_after_request(self) -> None:
        """End the connection when the running request has ended."""
        self._keepGoing = False

    def forget(self, request: Any) -> None:
        """Forget a request that has ended."""
        self._requests.pop(request.requestId, None)

    def _process_next(self) -> bool:
        """Process the next request if it has arrived whole, else the next record. Return False if there is neither."""
        if not self._requests and (whole := self._records.next_request()) is not None:
            self._serve_whole(whole)
            return True
        record = self._records.next_record()
        if record is not None:
            self._process(record)
        return record is not None

    def _serve_whole(self, whole: WholeRequest) -> None:
        request_id, role, flags, params, body = whole
        request = self._requests[request_id] = Request(self, request_id, role, flags)
        request.take_whole(self._params.decode(params), body)
        self._begin(request)

    def _process(self, record: Record) -> None:
        handler = self._handlers.get(record.type)
        if handler is None:
            handler = self._with_flups_record(self._do_unknown_type)
        handler(record)

    @staticmethod
    def _with_flups_record(handler: Any) -> Callable[[Record], None]:
        """Return flup's own handler as one for a record of ours."""

        def handle(record: Record) -> None:
            made = fcgi.Record(record.type, record.request_id)
            made.contentLength, made.contentData = len(record.content), record.content
            handler(made)

        return handle

    def _begin(self, request: Request) -> None:
        """Run a request all of whose parameters have arrived, if it may begin."""
        if self._tokens is None or self._tokens.permit(request.requestId, self._wait_for_token):
            self._start_request(request)
        else:
            self.forget(request)

    def _start_request(self, request: Request) -> None:
        request.run()
        if self._idle is not None:
            self._idle.note_request()

    def _do_begin_request(self, record: Record) -> None:
        role, flags = _BEGIN.unpack(record.content)
        request = Request(self, record.request_id, role, flags)
        if self._requests:
            self.end_request(request, protocolStatus=fcgi.FCGI_CANT_MPX_CONN, remove=False)
        else:
            self._requests[record.request_id] = request

    def _do_params(self, record: Record) -> None:
        """Collect the parameters of a request, and start the request at their end."""
        request = self._requests.get(record.request_id)
        if request is None or request.started:
            return
        if record.content:
            self._count(record)
            request.encoded += record.content
        else:
            self._head_size = 0
            request.take_params(self._params.decode(bytes(request.encoded)))
            self._begin(request)

    def _do_stdin(self, record: Record) -> None:
        request = self._requests.get(record.request_id)
        if request is not None:
            if not request.started:
                self._count(record)
            request.body.add_data(record.content)

    def _do_abort_request(self, record: Record) -> None:
        request = self._requests.get(record.request_id)
        if request is not None:
            request.aborted = True
            request.body.break_off("the client aborted the request")

    def _count(self, record: Record) -> None:
        self._head_size += _HEADER.size + len(record.content)
        if self._head_size > MAX_HEAD:
            raise ValueError(f"a request of more than {MAX_HEAD} bytes before the end of its parameters")

    def _received(self) -> bytes:
        """Wait for bytes. Return b"" at the end of the stream."""
        try:
            data: bytes = self._sock.recv(READ_SIZE)
        except OSError:
            return b""
        return data

    def _cleanupSocket(self) -> None:
        end = time.monotonic() + FAREWELL
        with contextlib.suppress(OSError):  # the client has gone, or is still there after FAREWELL seconds
            self._sock.shutdown(socket.SHUT_WR)
            # A close with unread input resets the connection, and the client may lose the reply's end.
            while (left := end - time.monotonic()) > 0:
                self._sock.settimeout(left)
                if not self._sock.recv(READ_SIZE):
                    break
        self._sock.close()
