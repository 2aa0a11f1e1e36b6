"""A request in flight: the state of its exchange, and the change that each record of the application makes."""

import struct

from bridge.fastcgi.errors import ProtocolError
from bridge.fastcgi.records import Record, RecordType
from bridge.fastcgi.replies import Limits, ReplyReader
from bridge.fastcgi.reply_events import ProtocolStatus, Refused, ReplyEvent
from bridge.fastcgi.states import ConnectionState, Move, advance

SMALL = 64
"""Records with less content than this are counted: a reply in tiny records costs more time than its bytes do."""

_END = struct.Struct(">IB3x")


class RequestInFlight:
    """A request of this id, and the reply to it as far as it has arrived. With `keep`, a further request may follow."""

    __slots__ = ("_limits", "_reply", "_small", "keep", "request_id", "state")

    def __init__(
        self, limits: Limits, request_id: int, state: ConnectionState, *, bodiless: bool = False, keep: bool = True
    ) -> None:
        self.request_id = request_id
        self.state = state
        self.keep = keep
        self._limits = limits
        self._reply = ReplyReader(limits, bodiless=bodiless)
        self._small = 0

    def take(self, record: Record, replies: list[ReplyEvent]) -> None:
        """Process a record, and append the reply events in it to `replies`. Raise `ProtocolError` for a record that the
        application may not send."""
        type_, request_id, content = record
        if len(content) < SMALL:
            self._small += 1
            if self._small > self._limits.small_records:
                raise ProtocolError(f"more than {self._limits.small_records} records of less than {SMALL} bytes")
        if type_ in (RecordType.GET_VALUES_RESULT, RecordType.UNKNOWN_TYPE):
            # These records answer no request of this side, but the specification allows them, so they are ignored.
            if request_id != 0:
                raise ProtocolError(f"a management record for request {request_id}: expected 0")
            self.move(Move.MANAGEMENT)
            return
        if request_id != self.request_id:
            name = RecordType(type_).name
            raise ProtocolError(f"{name} for request {request_id}: expected {self.request_id}")
        if type_ == RecordType.STDOUT:
            self._output(content, replies)
        elif type_ == RecordType.STDERR:
            self.move(Move.ERROR_OUTPUT)
            if content:
                replies.append(self._reply.error_output(content))
        else:
            replies.append(self._end_request(content))

    def _output(self, content: bytes, replies: list[ReplyEvent]) -> None:
        if not content:
            self.move(Move.END_OF_OUTPUT)
            return
        self.move(Move.OUTPUT)
        headed = self._reply.headed
        replies += self._reply.output(content)
        if self._reply.headed and not headed:
            self.move(Move.HEAD)

    def _end_request(self, content: bytes) -> ReplyEvent:
        if len(content) != _END.size:
            raise ProtocolError(f"END_REQUEST of {len(content)} bytes: expected {_END.size}")
        app_status, protocol_status = _END.unpack(content)
        if protocol_status == ProtocolStatus.REQUEST_COMPLETE:
            self.move(Move.END if self.keep and not self._reply.overlong else Move.LAST_END)
            return self._reply.end(app_status)
        try:
            refusal = Refused(ProtocolStatus(protocol_status))
        except ValueError as error:
            raise ProtocolError(f"END_REQUEST with protocol status {protocol_status}: expected 0 to 3") from error
        if self._reply.began:
            raise ProtocolError(f"{refusal.protocol_status.name} after STDOUT: expected it before any output")
        self.move(Move.REFUSAL)
        return refusal

    def move(self, move: Move) -> None:
        """Change the state. Raise `IllegalMove` or `ProtocolError` if the state does not allow this move."""
        self.state = advance(self.state, move)
