"""A connection to a FastCGI application that answers its requests in order, with several whole requests in flight.

Like `connection`, it opens no socket, reads no clock and stores no reply. It is for applications that are known to read
the next request after a reply: most servers take one request at a time.
"""

from collections import deque
from collections.abc import Collection, Iterator
from typing import NamedTuple

from bridge.fastcgi.alike import LONGEST, KnownReply
from bridge.fastcgi.errors import ProtocolError
from bridge.fastcgi.records import RecordReader
from bridge.fastcgi.replies import Limits
from bridge.fastcgi.reply_events import ReplyEvent
from bridge.fastcgi.request_in_flight import RequestInFlight
from bridge.fastcgi.requests import EncodedRequest, encode_whole, next_id
from bridge.fastcgi.states import ConnectionState

Replies = Iterator[tuple[int, tuple[ReplyEvent, ...]]]
"""Reply events that follow one another, each time with the id of their request."""


class _Sent(NamedTuple):
    request_id: int
    bodiless: bool


class Pipeline:
    """The web server's side of such a connection."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 (frozen)
        self._limits = limits
        self._reader = RecordReader()
        self._in_flight: deque[_Sent] = deque()
        self._reading: RequestInFlight | None = None
        self._known: KnownReply | None = None
        self._last_id = 0

    def __repr__(self) -> str:
        return f"<Pipeline {[sent.request_id for sent in self._in_flight]}>"

    @property
    def first(self) -> int | None:
        """The id of the first request in flight; None if there is none."""
        return self._in_flight[0].request_id if self._in_flight else None

    def send(self, request: EncodedRequest) -> tuple[int, bytes]:
        """Return the id of a further request, and its bytes."""
        self._last_id = request_id = next_id(self._last_id)
        self._in_flight.append(_Sent(request_id, request.bodiless))
        return request_id, encode_whole(request_id, request, keep=True)

    def withdraw(self, request_ids: Collection[int]) -> None:
        """Expect no replies to requests that the application will not begin."""
        if request_ids:
            self._in_flight = deque(sent for sent in self._in_flight if sent.request_id not in request_ids)

    def receive(self, data: bytes) -> Replies:
        """Process bytes that were read, and yield the reply events in them, in order. A reply that comes again, as a
        whole, has the same tuple of events as before.

        Raise `ProtocolError` for bytes that the application may not send. The connection can only be closed then.
        """
        at = 0
        if self._known is not None and self._reading is None and not self._reader.pending:
            known = self._known
            while self._in_flight:
                request_id, bodiless = self._in_flight[0]
                if bodiless or not known.comes_again(data, at, request_id):
                    break
                self._in_flight.popleft()
                yield request_id, known.events
                at += known.size
        if at < len(data):
            yield from self._read(data[at:])

    def end_of_stream(self) -> str:
        """Return in words where the stream has ended."""
        if not self._in_flight:
            return "the stream ended"
        state = ConnectionState.WAITING if self._reading is None else self._reading.state
        return f"the stream ended in state {state.value!r}: expected END_REQUEST before"

    def _read(self, data: bytes) -> Replies:
        """Read records one by one."""
        reader = self._reader
        size = len(data) + reader.pending
        reader.feed(data)
        # The place in `data` at which the present reply begins; None if the reply began in earlier bytes.
        began = 0 if size == len(data) and self._reading is None else None
        of_reply: list[ReplyEvent] = []
        while (record := reader.next_record()) is not None:
            request = self._reading = self._reading or self._first_in_flight(record.type)
            events: list[ReplyEvent] = []
            request.take(record, events)
            if events:
                yield request.request_id, tuple(events)
            of_reply += events
            if request.state is ConnectionState.OVER:
                raise ProtocolError("the reply ended without reuse of the connection: expected a whole reply")
            if request.state is ConnectionState.IDLE:
                self._reading = None
                ended = size - reader.pending
                bodiless = self._in_flight.popleft().bodiless
                if began is not None and not bodiless and ended - began <= LONGEST:
                    self._known = KnownReply(data[began:ended], tuple(of_reply))
                began = ended if began is not None else None
                of_reply.clear()

    def _first_in_flight(self, type_: int) -> RequestInFlight:
        if not self._in_flight:
            raise ProtocolError(f"a record of type {type_}, and no request is in flight: expected none")
        request_id, bodiless = self._in_flight[0]
        return RequestInFlight(self._limits, request_id, ConnectionState.WAITING, bodiless=bodiless)
