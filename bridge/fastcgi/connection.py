"""A connection to a FastCGI application, as a state machine over bytes.

It opens no socket, reads no clock and stores no reply: the caller writes the bytes that the methods return, passes the
bytes that it reads to `receive()`, and closes the connection. One request is in flight at a time, because flup, PHP-FPM
and libfcgi do not multiplex requests.
"""

from collections.abc import Mapping, Sequence

from bridge.fastcgi.alike import ReplyMemory
from bridge.fastcgi.errors import EndedEarly, InvalidRequest, ProtocolError
from bridge.fastcgi.params import encode_params
from bridge.fastcgi.records import RecordReader, RecordType, encode_record
from bridge.fastcgi.replies import Limits
from bridge.fastcgi.reply_events import ReplyEnd, ReplyEvent
from bridge.fastcgi.request_in_flight import RequestInFlight
from bridge.fastcgi.requests import (
    EncodedRequest,
    content_length,
    encode_beginning,
    encode_body,
    encode_whole,
    is_bodiless,
    next_id,
)
from bridge.fastcgi.states import IN_FLIGHT, ConnectionState, Move, advance


class Connection:
    """The web server's side of one connection.

    The methods that write return the bytes to send, and raise `IllegalMove` if the state does not allow them. `state`
    and `reusable` assume that the caller has written all these bytes: if it has not, it must not reuse the connection.
    """

    def __init__(self, limits: Limits = Limits(), memory: ReplyMemory | None = None) -> None:  # noqa: B008 (frozen)
        """Connections to one application with the same limits may share a `memory`. A reply in it is not read again."""
        self._limits = limits
        self._memory = memory
        self._request = RequestInFlight(limits, 0, ConnectionState.IDLE)
        self._reader = RecordReader()
        self._unsent = 0
        self._began = False
        self._bodiless = False

    def __repr__(self) -> str:
        return f"<Connection {self._request.state}, request {self._request.request_id}>"

    @property
    def state(self) -> ConnectionState:
        """The state of the connection."""
        return self._request.state

    @property
    def reusable(self) -> bool:
        """True if another request may be sent over this connection. That requires that the last request was sent whole
        with `keep_connection`, that its reply was whole, that the body was not longer than its Content-Length, and that
        no bytes followed the reply."""
        return self._request.state is ConnectionState.IDLE and self._request.request_id > 0

    def begin_request(self, params: Mapping[str, str | bytes], *, keep_connection: bool) -> bytes:
        """Begin a request for a Responder: BEGIN_REQUEST and all of PARAMS. The caller must send the body next, even an
        empty one.

        A str value is sent as UTF-8, bytes as they are. `CONTENT_LENGTH` is required and must be the length of the
        body. Raise `InvalidRequest` for parameters that cannot be sent.
        """
        after = advance(self._request.state, Move.BEGIN)
        contents, length = encode_params(params), content_length(params)
        self._next(after, bodiless=is_bodiless(params), keep=keep_connection)
        self._unsent = length
        return b"".join(encode_beginning(self._request.request_id, contents, keep=keep_connection))

    def send(self, request: EncodedRequest, *, keep_connection: bool) -> bytes:
        """Send a whole request for a Responder, including its body."""
        after = advance(advance(self._request.state, Move.BEGIN), Move.END_OF_BODY)
        self._next(after, bodiless=request.bodiless, keep=keep_connection)
        return encode_whole(self._request.request_id, request, keep=keep_connection)

    def _next(self, state: ConnectionState, *, bodiless: bool, keep: bool) -> None:
        # Each request has another id, so that late records of an earlier reply are not taken for this reply.
        request_id = next_id(self._request.request_id)
        self._request = RequestInFlight(self._limits, request_id, state, bodiless=bodiless, keep=keep)
        self._unsent = 0
        self._began = False
        self._bodiless = bodiless

    def body(self, data: bytes) -> bytes:
        """Send a piece of the body; an empty piece sends nothing. Raise `InvalidRequest` if the body becomes longer
        than CONTENT_LENGTH."""
        after = advance(self._request.state, Move.BODY)
        if len(data) > self._unsent:
            raise InvalidRequest(f"{len(data)} bytes of body: expected at most {self._unsent} by CONTENT_LENGTH")
        self._request.state = after
        self._unsent -= len(data)
        return b"".join(encode_body(self._request.request_id, data))

    def end_of_body(self) -> bytes:
        """End the request. Raise `InvalidRequest` if the body is shorter than CONTENT_LENGTH."""
        after = advance(self._request.state, Move.END_OF_BODY)
        if self._unsent:
            raise InvalidRequest(f"the body ends: expected {self._unsent} more bytes by CONTENT_LENGTH")
        self._request.state = after
        return encode_record(RecordType.STDIN, self._request.request_id)

    def abort(self) -> bytes:
        """Abort the request. Afterwards the connection can only be closed: further bytes of the application are
        ignored."""
        self._request.state = advance(self._request.state, Move.ABORT)
        return encode_record(RecordType.ABORT_REQUEST, self._request.request_id)

    def receive(self, data: bytes) -> Sequence[ReplyEvent]:
        """Process the bytes that were read, or b"" for the end of the stream, and return the reply events in them.

        Raise `ProtocolError` for bytes that no application may send, and `EndedEarly` for an end of the stream before
        the end of the reply. Bytes after a whole reply in the same `data` raise no error, so that the reply is not
        lost, but the connection is then broken. A whole reply that its memory has is the same tuple as before.
        """
        if not data:
            self._end_of_stream()
            return []
        if self._request.state is ConnectionState.ABORTED:
            return []
        request = self._request
        memory = self._memory if request.state is ConnectionState.WAITING and not self._began else None
        if memory is None or self._bodiless:
            return self._read(data)
        events = memory.recall(data, request.request_id)
        if events is not None:
            self._reader.skipped()
            request.state = ConnectionState.IDLE if request.keep else ConnectionState.OVER
            return events
        replies = self._read(data)
        if self._ended_in_order(replies):
            return memory.note(data, request.request_id, replies)
        return replies

    def _ended_in_order(self, replies: Sequence[ReplyEvent]) -> bool:
        """Return True if the reply ends with these events, and nothing is wrong with it."""
        end = replies[-1] if replies else None
        in_order = self._request.state in (ConnectionState.IDLE, ConnectionState.OVER)
        return in_order and isinstance(end, ReplyEnd) and not end.overlong

    def _read(self, data: bytes) -> list[ReplyEvent]:
        replies: list[ReplyEvent] = []
        try:
            self._take(data, replies)
        except ProtocolError as error:
            self._request.state = ConnectionState.BROKEN
            error.replies = tuple(replies)
            raise
        return replies

    def _end_of_stream(self) -> None:
        before = self._request.state
        self._request.state = advance(before, Move.END_OF_STREAM)
        if self._request.state is ConnectionState.BROKEN:
            message = f"the stream ended in state {before.value!r}: expected END_REQUEST before"
            raise EndedEarly(message, began=self._began)

    def _take(self, data: bytes, replies: list[ReplyEvent]) -> None:
        if self._request.state not in IN_FLIGHT:
            raise ProtocolError(f"{len(data)} bytes in state {self._request.state.value!r}: expected none")
        self._began = True
        self._reader.feed(data)
        while self._request.state in IN_FLIGHT:
            record = self._reader.next_record()
            if record is None:
                return
            self._request.take(record, replies)
        if self._reader.pending:
            self._request.state = ConnectionState.BROKEN
