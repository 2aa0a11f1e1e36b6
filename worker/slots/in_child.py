"""A run in an own child: its time, its reply, its progress, and what the child prints for it."""

from collections.abc import Sequence
from dataclasses import replace

from bridge.child_protocol import Progress
from bridge.fastcgi import ReplyEnd, ReplyEvent
from bridge.outcome import Exchange
from worker.slots.arriving_reply import ArrivingReply, LastReply
from worker.slots.slot import EXCERPT, NotTaken, Run
from worker.slots.transcript import Excerpt

PRINTED_KEPT = 32 * 1024
"""Bytes of a child's output during one attempt that are kept for the transcript."""

_ROUNDING = 0.001
"""Seconds."""


class InChild:
    """A run whose request was sent to a child.

    `number` is that of its request on the connection. It has been the first one in flight `since` that time of the
    loop's clock, and may take `deadline` seconds from then. `ending`: its child is about to be ended.
    """

    __slots__ = ("_printed", "_reply", "deadline", "ending", "number", "progress", "run", "since")

    def __init__(self, run: Run, number: int, now: float) -> None:
        self.run = run
        self.number = number
        self.since = now
        self.deadline = run.deadline
        self.ending = False
        self._reply: ArrivingReply | None = None
        self.progress: Progress | None = None
        """The progress that its listener has told last."""
        self._printed: Excerpt | None = None

    @property
    def due(self) -> float:
        """The time by which it has to end."""
        return self.since + self.deadline

    @property
    def reply(self) -> ArrivingReply:
        """The reply as far as it has arrived in pieces."""
        if self._reply is None:
            self._reply = ArrivingReply(self.run.request.room)
        return self._reply

    def take(self, events: Sequence[ReplyEvent], last: LastReply) -> Exchange | NotTaken | None:
        """Add events of its reply; return the exchange if they end it. `last` knows the last whole reply."""
        is_whole = self._reply is None and isinstance(events[-1], ReplyEnd)
        if is_whole and self.run.request.room == EXCERPT:
            return last.exchange(events)
        return self.reply.take(events)

    def extend(self, seconds: float, at_most: float, now: float) -> bool:
        """Let the run take `seconds` from now, but at most `at_most` in all. Its deadline never comes sooner than
        before. Return True if it has so much time."""
        if self.ending:
            return False
        self.deadline = max(self.deadline, min(now - self.since + seconds, at_most))
        return self.due >= now + seconds - _ROUNDING

    def add_printed(self, record: str) -> None:
        """Keep a record that the child printed."""
        if self._printed is None:
            self._printed = Excerpt(PRINTED_KEPT)
        self._printed.add(f"{record}\n".encode())

    def with_printed_lines(self, exchange: Exchange | NotTaken) -> Exchange | NotTaken:
        """Return the exchange with the records that the child printed."""
        if self._printed is None or isinstance(exchange, NotTaken):
            return exchange
        return replace(exchange, error_output=joined(self._printed.bytes(), exchange.error_output))


def joined(first: bytes, second: bytes) -> bytes:
    """Return both outputs, the second one on a line of its own."""
    return first + b"\n" + second if first and second and not first.endswith(b"\n") else first + second
