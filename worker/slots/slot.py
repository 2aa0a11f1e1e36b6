"""A slot runs a `Request`, and returns an `Exchange`, or `NotTaken`."""

from dataclasses import dataclass
from typing import Protocol

from bridge.fastcgi import EncodedRequest
from bridge.outcome import Exchange

EXCERPT = 32 * 1024
"""Bytes of a reply's body, and of its error output, that are kept for the transcript."""


@dataclass(frozen=True, slots=True)
class Request:
    """The request of one attempt of an event, or of a call, encoded already, so that sending cannot fail because of its
    content.

    `event` (its name), `id`, `queue` and `attempt` are for the log and the status. Of a reply's body, `room` bytes are
    kept whole; the middle of a longer one is cut. `deadline_at_most` is the seconds that the attempt may take if its
    listener asks for more time; None if it cannot.
    """

    event: str
    id: str
    queue: str
    attempt: int
    encoded: EncodedRequest
    deadline_at_most: float | None = None
    room: int = EXCERPT


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The server did not take the request: it refuses, is overloaded, or cannot be reached. It is certain that nothing
    ran. `for_ever`: the server never takes a request, because it serves another role."""

    why: str
    for_ever: bool = False


class Slot(Protocol):
    """Room for one request in flight: an own child, or a connection to a foreign pool."""

    async def exchange(self, request: Request, deadline: float) -> Exchange | NotTaken:
        """Send a request and return its exchange, at most `deadline` seconds later. Raise nothing for a fault of the
        server: the exchange describes it."""

    def interrupt(self) -> None:
        """End the request that runs as at its deadline; do nothing if none runs."""

    @property
    def pid(self) -> int | None:
        """The process id of the own child in the slot; None in a foreign pool."""

    @property
    def usable(self) -> bool:
        """True if the slot can run a further request."""
