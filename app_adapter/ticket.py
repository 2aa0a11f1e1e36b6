"""Tickets: what a caller hands to the publishing thread (an event, a call, a cancellation, an errand), and the answer.

A signal handler or a finalizer can interrupt the caller anywhere and call `defer()` itself. So no lock is held here
while Python code runs. That rules out `Future`, `Condition` and `threading.Event`, which are written in Python. Each
lock below is an atomic flag: it is acquired once.
"""

import threading
from typing import TYPE_CHECKING

from app_adapter.outgoing import Outgoing
from bridge.deadline import Deadline
from bridge.errors import BridgeError

if TYPE_CHECKING:
    from bridge.call import Answer, Question
    from bridge.cancellations import Cancellation
    from bridge.publishing.errands import Errand, Fetched
    from bridge.publishing.lazy_publisher import Destination


class Ticket:
    """One event, question, cancellation or errand, which is either begun by the publishing thread or withdrawn by its
    caller, and never both. The answer to a question is that of the call."""

    __slots__ = ("_answer", "_answered", "_decided", "deadline", "outgoing")

    def __init__(self, outgoing: "Outgoing | Question | Cancellation | Errand", deadline: Deadline) -> None:
        self.outgoing = outgoing
        self.deadline = deadline
        self._answer: Destination | Answer | Fetched | BridgeError | None = None
        self._decided = threading.Lock()
        self._answered = threading.Lock()
        self._answered.acquire()

    def begin(self) -> bool:
        """Decide that the event is published. Return False if the caller has withdrawn it."""
        return self._decided.acquire(blocking=False)

    def withdraw(self) -> bool:
        """Decide that the event is not published. Return False if its publishing has begun."""
        return self._decided.acquire(blocking=False)

    def answer(self, answer: "Destination | Answer | Fetched | BridgeError") -> None:
        """Wake the caller, with the place of the event, the answer to its question or fetch, or the error. Called once,
        after `begin`."""
        self._answer = answer
        self._answered.release()

    def wait(self, seconds: float) -> "Destination | Answer | Fetched | None":
        """Wait for the answer at most this long. Return it, or None if there is none. Raise the error that is the
        answer. An exception of a signal handler passes through unchanged."""
        if self._answer is None:
            self._answered.acquire(timeout=seconds)
        if isinstance(self._answer, BridgeError):
            raise self._answer
        return self._answer
