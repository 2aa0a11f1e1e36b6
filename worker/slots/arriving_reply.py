"""The reply to one request, as far as it has arrived, and the whole one that comes again."""

from collections.abc import Iterable, Sequence

from bridge.fastcgi import ErrorOutput, ProtocolStatus, Refused, ReplyBody, ReplyEnd, ReplyEvent, ReplyHead
from bridge.outcome import BrokenOff, Exchange, OutOfTime, Reply
from worker.slots.slot import EXCERPT, NotTaken
from worker.slots.transcript import Excerpt


class ArrivingReply:
    """Gathers the events of a reply. `room` bytes of its body are kept."""

    __slots__ = ("_body", "_error_output", "_head")

    def __init__(self, room: int) -> None:
        self._head: ReplyHead | None = None
        self._body = Excerpt(room)
        self._error_output = Excerpt(EXCERPT)

    def take(self, events: Iterable[ReplyEvent]) -> Exchange | NotTaken | None:
        """Add events; return the exchange if the last one ends it."""
        for event in events:
            match event:
                case ReplyHead():
                    self._head = event
                case ReplyBody(data=data):
                    self._body.add(data)
                case ErrorOutput(data=data):
                    self._error_output.add(data)
                case ReplyEnd() as end:
                    return self._reply(end)
                case Refused(protocol_status=status):
                    return NotTaken(f"the server answered {status.name}", status is ProtocolStatus.UNKNOWN_ROLE)
        return None

    def broken_off(self, why: str) -> BrokenOff:
        """Return the exchange of a reply that does not go on."""
        return BrokenOff(why, self._error_output.bytes())

    def out_of_time(self, deadline: float) -> OutOfTime:
        """Return the exchange of a reply that has not come within `deadline` seconds."""
        return OutOfTime(deadline, self._error_output.bytes())

    def _reply(self, end: ReplyEnd) -> Exchange:
        if self._head is None:  # the protocol's states exclude this; it must not count as a reply
            return self.broken_off("the reply ended without a header block")
        fields: dict[str, list[str]] = {}
        for name, value in self._head.headers:
            fields.setdefault(name.lower(), []).append(value)
        headers = {name: ", ".join(values) for name, values in fields.items()}
        body, error_output = self._body.bytes(), self._error_output.bytes()
        return Reply(self._head.status, headers, body, error_output, end.overlong, end.app_status)


class LastReply:
    """The last whole reply that came as one tuple of events. The same tuple stands for the same reply, whose exchange
    is not made again."""

    __slots__ = ("_events", "_exchange")

    def __init__(self) -> None:
        self._events: Sequence[ReplyEvent] = ()
        self._exchange: Exchange | NotTaken | None = None

    def exchange(self, events: Sequence[ReplyEvent]) -> Exchange | NotTaken | None:
        """Return the exchange of the whole reply that these events are."""
        if events is not self._events:
            self._events, self._exchange = events, ArrivingReply(EXCERPT).take(events)
        return self._exchange
