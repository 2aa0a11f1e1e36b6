"""A connection to a FastCGI application, as a state machine over bytes.

It opens no socket, reads no clock and stores no reply: the caller writes the bytes that the methods return, passes the
bytes that it reads to `receive()`, and closes the connection. One request is in flight at a time, because flup, PHP-FPM
and libfcgi do not multiplex requests.
"""

import struct
from collections.abc import Mapping, Sequence

from bridge.fastcgi.errors import EndedEarly, InvalidRequest, ProtocolError
from bridge.fastcgi.params import encode_params
from bridge.fastcgi.records import SENT_CONTENT, Record, RecordReader, RecordType, encode_header, encode_record
from bridge.fastcgi.replies import Limits, ReplyReader
from bridge.fastcgi.reply_events import ProtocolStatus, Refused, ReplyEvent
from bridge.fastcgi.requests import EncodedRequest, content_length, is_bodiless
from bridge.fastcgi.states import IN_FLIGHT, ConnectionState, Move, advance

SMALL = 64
"""Records with less content than this are counted: a reply in tiny records costs more time than its bytes do."""

_RESPONDER = 1
_KEEP_CONN = 1
_BEGIN = struct.Struct(">HB5x")
_END = struct.Struct(">IB3x")


class Connection:
    """The web server's side of one connection.

    The methods that write return the bytes to send, and raise `IllegalMove` if the state does not allow them. `state`
    and `reusable` assume that the caller has written all these bytes: if it has not, it must not reuse the connection.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 (frozen)
        self._limits = limits
        self._state = ConnectionState.IDLE
        self._reader = RecordReader()
        self._reply = ReplyReader(limits, bodiless=False)
        self._request_id = 0
        self._keep = False
        self._unsent = 0
        self._began = False
        self._small = 0

    def __repr__(self) -> str:
        return f"<Connection {self._state}, request {self._request_id}>"

    @property
    def state(self) -> ConnectionState:
        """The state of the connection."""
        return self._state

    @property
    def reusable(self) -> bool:
        """True if another request may be sent over this connection. That requires that the last request was sent whole
        with `keep_connection`, that its reply was whole, that the body was not longer than its Content-Length, and that
        no bytes followed the reply."""
        return self._state is ConnectionState.IDLE and self._request_id > 0

    def begin_request(self, params: Mapping[str, str | bytes], *, keep_connection: bool) -> bytes:
        """Begin a request for a Responder: BEGIN_REQUEST and all of PARAMS. The caller must send the body next, even an
        empty one.

        A str value is sent as UTF-8, bytes as they are. `CONTENT_LENGTH` is required and must be the length of the
        body. Raise `InvalidRequest` for parameters that cannot be sent.
        """
        after = advance(self._state, Move.BEGIN)
        contents, length = encode_params(params), content_length(params)
        records = self._begin(contents, bodiless=is_bodiless(params), keep=keep_connection)
        self._state, self._unsent = after, length
        return b"".join(records)

    def send(self, request: EncodedRequest, *, keep_connection: bool) -> bytes:
        """Send a whole request for a Responder, including its body."""
        after = advance(advance(self._state, Move.BEGIN), Move.END_OF_BODY)
        records = self._begin(request.params, bodiless=request.bodiless, keep=keep_connection)
        self._state, self._unsent = after, 0
        return b"".join((*records, *self._stdin(request.body), encode_record(RecordType.STDIN, self._request_id)))

    def _begin(self, params: Sequence[bytes], *, bodiless: bool, keep: bool) -> list[bytes]:
        # Each request has another id, so that late records of an earlier reply are not taken for this reply.
        request_id = self._request_id % 0xFFFF + 1
        records = [encode_record(RecordType.BEGIN_REQUEST, request_id, _BEGIN.pack(_RESPONDER, _KEEP_CONN * keep))]
        records += [encode_record(RecordType.PARAMS, request_id, content) for content in params]
        records.append(encode_record(RecordType.PARAMS, request_id))
        self._request_id = request_id
        self._keep = keep
        self._began = False
        self._small = 0
        self._reply = ReplyReader(self._limits, bodiless=bodiless)
        return records

    def _stdin(self, data: bytes) -> list[bytes | memoryview]:
        """Return the parts of the records that carry the body. A part of a large body is not copied."""
        if 0 < len(data) <= SENT_CONTENT:
            return [encode_record(RecordType.STDIN, self._request_id, data)]
        view = memoryview(data)
        parts: list[bytes | memoryview] = []
        for at in range(0, len(data), SENT_CONTENT):
            content = view[at : at + SENT_CONTENT]
            parts += (encode_header(RecordType.STDIN, self._request_id, len(content)), content)
        return parts

    def body(self, data: bytes) -> bytes:
        """Send a piece of the body; an empty piece sends nothing. Raise `InvalidRequest` if the body becomes longer
        than CONTENT_LENGTH."""
        after = advance(self._state, Move.BODY)
        if len(data) > self._unsent:
            raise InvalidRequest(f"{len(data)} bytes of body: expected at most {self._unsent} by CONTENT_LENGTH")
        self._state = after
        self._unsent -= len(data)
        return b"".join(self._stdin(data))

    def end_of_body(self) -> bytes:
        """End the request. Raise `InvalidRequest` if the body is shorter than CONTENT_LENGTH."""
        after = advance(self._state, Move.END_OF_BODY)
        if self._unsent:
            raise InvalidRequest(f"the body ends: expected {self._unsent} more bytes by CONTENT_LENGTH")
        self._state = after
        return encode_record(RecordType.STDIN, self._request_id)

    def abort(self) -> bytes:
        """Abort the request. Afterwards the connection can only be closed: further bytes of the application are
        ignored."""
        self._state = advance(self._state, Move.ABORT)
        return encode_record(RecordType.ABORT_REQUEST, self._request_id)

    def receive(self, data: bytes) -> list[ReplyEvent]:
        """Process the bytes that were read, or b"" for the end of the stream, and return the reply events in them.

        Raise `ProtocolError` for bytes that no application may send, and `EndedEarly` for an end of the stream before
        the end of the reply. Bytes after a whole reply in the same `data` raise no error, so that the reply is not
        lost, but the connection is then broken.
        """
        if not data:
            self._end_of_stream()
            return []
        if self._state is ConnectionState.ABORTED:
            return []
        replies: list[ReplyEvent] = []
        try:
            self._take(data, replies)
        except ProtocolError as error:
            self._state = ConnectionState.BROKEN
            error.replies = tuple(replies)
            raise
        return replies

    def _end_of_stream(self) -> None:
        before = self._state
        self._state = advance(before, Move.END_OF_STREAM)
        if self._state is ConnectionState.BROKEN:
            message = f"the stream ended in state {before.value!r}: expected END_REQUEST before"
            raise EndedEarly(message, began=self._began)

    def _take(self, data: bytes, replies: list[ReplyEvent]) -> None:
        if self._state not in IN_FLIGHT:
            raise ProtocolError(f"{len(data)} bytes in state {self._state.value!r}: expected none")
        self._began = True
        self._reader.feed(data)
        while self._state in IN_FLIGHT:
            record = self._reader.next_record()
            if record is None:
                return
            self._take_record(record, replies)
        if self._reader.pending:
            self._state = ConnectionState.BROKEN

    def _take_record(self, record: Record, replies: list[ReplyEvent]) -> None:
        type_, request_id, content = record
        if len(content) < SMALL:
            self._small += 1
            if self._small > self._limits.small_records:
                raise ProtocolError(f"more than {self._limits.small_records} records of less than {SMALL} bytes")
        if type_ in (RecordType.GET_VALUES_RESULT, RecordType.UNKNOWN_TYPE):
            # These records answer no request of this side, but the specification allows them, so they are ignored.
            if request_id != 0:
                raise ProtocolError(f"a management record for request {request_id}: expected 0")
            self._move(Move.MANAGEMENT)
            return
        if request_id != self._request_id:
            name = RecordType(type_).name
            raise ProtocolError(f"{name} for request {request_id}: expected {self._request_id}")
        if type_ == RecordType.STDOUT:
            self._output(content, replies)
        elif type_ == RecordType.STDERR:
            self._move(Move.ERROR_OUTPUT)
            if content:
                replies.append(self._reply.error_output(content))
        else:
            replies.append(self._end_request(content))

    def _output(self, content: bytes, replies: list[ReplyEvent]) -> None:
        if not content:
            self._move(Move.END_OF_OUTPUT)
            return
        self._move(Move.OUTPUT)
        headed = self._reply.headed
        replies += self._reply.output(content)
        if self._reply.headed and not headed:
            self._move(Move.HEAD)

    def _end_request(self, content: bytes) -> ReplyEvent:
        if len(content) != _END.size:
            raise ProtocolError(f"END_REQUEST of {len(content)} bytes: expected {_END.size}")
        app_status, protocol_status = _END.unpack(content)
        if protocol_status == ProtocolStatus.REQUEST_COMPLETE:
            self._move(Move.END if self._keep and not self._reply.overlong else Move.LAST_END)
            return self._reply.end(app_status)
        try:
            refusal = Refused(ProtocolStatus(protocol_status))
        except ValueError as error:
            raise ProtocolError(f"END_REQUEST with protocol status {protocol_status}: expected 0 to 3") from error
        if self._reply.began:
            raise ProtocolError(f"{refusal.protocol_status.name} after STDOUT: expected it before any output")
        self._move(Move.REFUSAL)
        return refusal

    def _move(self, move: Move) -> None:
        self._state = advance(self._state, move)
