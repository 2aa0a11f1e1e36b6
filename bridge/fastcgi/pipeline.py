"""A connection to a FastCGI application that answers its requests in order, with several whole requests in flight.

Like `connection`, it opens no socket, reads no clock and stores no reply. It is for applications that are known to read
the next request after a reply: most servers take one request at a time.
"""

from collections import deque
from collections.abc import Collection, Iterator

from bridge.fastcgi.errors import ProtocolError
from bridge.fastcgi.records import RecordReader
from bridge.fastcgi.replies import Limits
from bridge.fastcgi.reply_events import ReplyEvent
from bridge.fastcgi.request_in_flight import RequestInFlight
from bridge.fastcgi.requests import EncodedRequest, encode_whole, next_id
from bridge.fastcgi.states import ConnectionState


class Pipeline:
    """The web server's side of such a connection."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 (frozen)
        self._limits = limits
        self._reader = RecordReader()
        self._in_flight: deque[RequestInFlight] = deque()
        self._last_id = 0

    def __repr__(self) -> str:
        return f"<Pipeline {[request.request_id for request in self._in_flight]}>"

    @property
    def first(self) -> int | None:
        """The id of the first request in flight; None if there is none."""
        return self._in_flight[0].request_id if self._in_flight else None

    def send(self, request: EncodedRequest) -> tuple[int, bytes]:
        """Return the id of a further request, and its bytes."""
        self._last_id = request_id = next_id(self._last_id)
        waiting = RequestInFlight(self._limits, request_id, ConnectionState.WAITING, bodiless=request.bodiless)
        self._in_flight.append(waiting)
        return request_id, encode_whole(request_id, request, keep=True)

    def withdraw(self, request_ids: Collection[int]) -> None:
        """Expect no replies to requests that the application will not begin."""
        if request_ids:
            self._in_flight = deque(each for each in self._in_flight if each.request_id not in request_ids)

    def receive(self, data: bytes) -> Iterator[tuple[int, ReplyEvent]]:
        """Process bytes that were read, and yield the reply events in them, each with the id of its request.

        Raise `ProtocolError` for bytes that the application may not send. The connection can only be closed then.
        """
        self._reader.feed(data)
        events: list[ReplyEvent] = []
        while (record := self._reader.next_record()) is not None:
            if not self._in_flight:
                raise ProtocolError(f"a record of type {record.type}, and no request is in flight: expected none")
            request = self._in_flight[0]
            request.take(record, events)
            for event in events:
                yield request.request_id, event
            events.clear()
            if request.state is ConnectionState.IDLE:
                self._in_flight.popleft()
            elif request.state is ConnectionState.OVER:
                raise ProtocolError("the reply ended without reuse of the connection: expected a whole reply")

    def end_of_stream(self) -> str:
        """Return in words where the stream has ended."""
        if not self._in_flight:
            return "the stream ended"
        return f"the stream ended in state {self._in_flight[0].state.value!r}: expected END_REQUEST before"
