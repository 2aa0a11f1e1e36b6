"""A slot runs a `Run`, which ends in an `Exchange` or `NotTaken`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from bridge.fastcgi import EncodedRequest
from bridge.outcome import Exchange

EXCERPT = 32 * 1024
"""Bytes of a reply's body, and of its error output, that are kept for the transcript."""


class Request(NamedTuple):
    """The request of one attempt of an event, or of a call, encoded already, so that sending cannot fail because of its
    content.

    `event` (its name), `id`, `queue` and `attempt` are for the log and the status. Of a reply's body, `room` bytes are
    kept whole; the middle of a longer one is cut. `deadline_at_most` is the seconds that the attempt may take if its
    listener asks for more time; None if it cannot. `at_once`: the request has to begin when it is sent, so it is sent
    only to a slot that runs nothing.
    """

    event: str
    id: str
    queue: str
    attempt: int
    encoded: EncodedRequest
    deadline_at_most: float | None = None
    room: int = EXCERPT
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The server did not take the request: it refuses, is overloaded, or cannot be reached. It is certain that nothing
    ran. `for_ever`: the server never takes a request, because it serves another role."""

    why: str
    for_ever: bool = False


@dataclass(eq=False, slots=True)
class Run:
    """A request in a slot. It may take `deadline` seconds from its own beginning. Its end is told to `line`."""

    request: Request
    deadline: float
    line: "Line"


End = tuple[Run, Exchange | NotTaken]
"""A run and its exchange."""


class Line(Protocol):
    """Where runs come from. A slot tells it the end of each run once."""

    def ended(self, run: Run, exchange: Exchange | NotTaken, seconds: float) -> None:
        """Note the exchange of a run, and how many seconds it took."""

    def ended_together(self, ends: Sequence[End], seconds: float) -> None:
        """Note the exchanges of runs that have ended together in a slot, each after `seconds`."""

    def failed(self, run: Run, error: Exception) -> None:
        """Note that the worker itself has failed with a run."""

    def recalled(self, runs: Sequence[Run]) -> None:
        """Take runs back, in their order, that have not begun and will not begin in the slot."""


class Slot(Protocol):
    """Room for requests: an own child, or a connection to a foreign pool. One of them runs; others may wait in it."""

    @property
    def pid(self) -> int | None:
        """The process id of the own child in the slot; None in a foreign pool."""

    @property
    def usable(self) -> bool:
        """True if the slot can run a further request."""

    @property
    def room(self) -> int:
        """How many further requests the slot takes now."""

    @property
    def at_a_time(self) -> int:
        """How many requests may end in the slot at a time, at present: their replies are read together."""

    def begin(self, run: Run) -> None:
        """Send the request of a run, which begins when the requests before it have ended. Raise nothing for a fault of
        the server: the exchange describes it."""

    def recall(self) -> Sequence[Run]:
        """Return the runs that wait in the slot behind another, in their order. They will not begin in it."""

    def abandon(self, run: Run) -> None:
        """End a run in whose end nobody is interested any more."""

    def interrupt(self, run: Run) -> None:
        """End a run as at its deadline, if it has begun and not ended."""
