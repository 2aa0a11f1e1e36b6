"""A connection to a FastCGI application, as a state machine over bytes: what to write, and what was read.

It opens no socket, knows no time and keeps no reply: the caller writes what the methods return, hands `receive()` what
it reads, and ends the connection. One request is in flight at a time: flup, PHP-FPM and libfcgi serve no second one.
"""

import re
import struct
from collections.abc import Mapping

from bridge.fastcgi.errors import EndedEarly, InvalidRequest, ProtocolError
from bridge.fastcgi.params import encode_params
from bridge.fastcgi.records import SENT_CONTENT, ProtocolStatus, Record, RecordReader, RecordType, encode_record
from bridge.fastcgi.replies import Limits, Refused, ReplyEvent, ReplyReader
from bridge.fastcgi.states import IN_FLIGHT, Move, State, advance

_RESPONDER = 1
_KEEP_CONN = 1
_BEGIN = struct.Struct(">HB5x")
_END = struct.Struct(">IB3x")
_LENGTH = re.compile(r"[0-9]{1,18}")


class Connection:
    """The web server's side of one connection.

    The methods that write return the bytes to send, and raise `IllegalMove` where the state does not allow them.
    `reusable` and `state` speak of bytes that were handed out: a caller that has not written all of them must not
    reuse the connection either.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 (frozen)
        self._limits = limits
        self._state = State.IDLE
        self._reader = RecordReader()
        self._reply = ReplyReader(limits, bodiless=False)
        self._request_id = 0
        self._keep = False
        self._unsent = 0
        self._began = False

    def __repr__(self) -> str:
        return f"<Connection {self._state}, request {self._request_id}>"

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._state

    @property
    def reusable(self) -> bool:
        """Whether a further request may go over this connection: only after a reply that came whole, to a request
        that was sent whole with `keep_connection`, with nothing behind it and no more body than announced."""
        return self._state is State.IDLE and self._request_id > 0

    def begin_request(self, params: Mapping[str, str | bytes], *, keep_connection: bool) -> bytes:
        """Begin a request for a Responder: BEGIN_REQUEST and all of PARAMS. The body, even an empty one, is to follow.

        A str value is sent as UTF-8, bytes as they are. `CONTENT_LENGTH` must be there, and the body is held to it.
        Raise `InvalidRequest` for parameters that cannot be sent.
        """
        after = advance(self._state, Move.BEGIN)
        length = _content_length(params)
        # A fresh id each time, so that a leftover of an earlier reply is never taken for the present one.
        request_id = self._request_id % 0xFFFF + 1
        begin = _BEGIN.pack(_RESPONDER, _KEEP_CONN if keep_connection else 0)
        records = [encode_record(RecordType.BEGIN_REQUEST, request_id, begin)]
        records += [encode_record(RecordType.PARAMS, request_id, content) for content in encode_params(params)]
        records.append(encode_record(RecordType.PARAMS, request_id))
        self._state = after
        self._request_id = request_id
        self._keep = keep_connection
        self._unsent = length
        self._began = False
        self._reply = ReplyReader(self._limits, bodiless=params.get("REQUEST_METHOD") in ("HEAD", b"HEAD"))
        return b"".join(records)

    def body(self, data: bytes) -> bytes:
        """Send a piece of the body; nothing for an empty one. Raise `InvalidRequest` past the CONTENT_LENGTH."""
        after = advance(self._state, Move.BODY)
        if len(data) > self._unsent:
            raise InvalidRequest(f"{len(data)} bytes of body: expected at most {self._unsent} by CONTENT_LENGTH")
        self._state = after
        self._unsent -= len(data)
        view = memoryview(data)
        return b"".join(
            encode_record(RecordType.STDIN, self._request_id, view[at : at + SENT_CONTENT])
            for at in range(0, len(data), SENT_CONTENT)
        )

    def end_of_body(self) -> bytes:
        """End the request. Raise `InvalidRequest` short of the CONTENT_LENGTH."""
        after = advance(self._state, Move.END_OF_BODY)
        if self._unsent:
            raise InvalidRequest(f"the body ends: expected {self._unsent} more bytes by CONTENT_LENGTH")
        self._state = after
        return encode_record(RecordType.STDIN, self._request_id)

    def abort(self) -> bytes:
        """Give the request up. The connection can only be closed then: what still comes is passed over."""
        self._state = advance(self._state, Move.ABORT)
        return encode_record(RecordType.ABORT_REQUEST, self._request_id)

    def receive(self, data: bytes) -> list[ReplyEvent]:
        """Take what was read, b"" for the end of the stream, and return what it says.

        Raise `ProtocolError` for what no application may send, `EndedEarly` for an end before the end of the reply.
        Bytes behind a whole reply in the same `data` spoil the connection and not the reply: it is broken, and quiet.
        """
        if not data:
            self._end_of_stream()
            return []
        if self._state is State.ABORTED:
            return []
        replies: list[ReplyEvent] = []
        try:
            self._take(data, replies)
        except ProtocolError as error:
            self._state = State.BROKEN
            error.replies = tuple(replies)
            raise
        return replies

    def _end_of_stream(self) -> None:
        before = self._state
        self._state = advance(before, Move.END_OF_STREAM)
        if self._state is State.BROKEN:
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
            self._state = State.BROKEN

    def _take_record(self, record: Record, replies: list[ReplyEvent]) -> None:
        type_, request_id, content = record
        if type_ in (RecordType.GET_VALUES_RESULT, RecordType.UNKNOWN_TYPE):
            # Nothing was asked that these could answer: they are passed over, as the specification lets them come.
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


def _content_length(params: Mapping[str, str | bytes]) -> int:
    value = params.get("CONTENT_LENGTH", "")
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if _LENGTH.fullmatch(text) is None:
        raise InvalidRequest(f"CONTENT_LENGTH {text!r:.100}: expected the number of bytes of the body")
    return int(text)
