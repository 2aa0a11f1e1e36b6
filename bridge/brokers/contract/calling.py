"""The broker's promise about calls: a question reaches at most one worker, and its answer comes back to the caller.
Nothing is stored: a question ends with its time, and with the processes that hold it.
"""

from collections.abc import Sequence
from typing import Protocol

from bridge.call import Answer, Question
from bridge.deadline import Deadline


class Caller(Protocol):
    """Asks questions, many at the same time."""

    async def ask(self, question: Question, queues: Sequence[str], deadline: Deadline) -> Answer:
        """Send the question to one worker, and return its answer. The worker serves the first of these queues that any
        worker serves now.

        Raise `NobodyServes` at once if no worker serves any of them, `CallTimedOut` at the deadline, `CallLost` if no
        answer can come any more, and `CallError` if the broker refuses this client.
        """

    async def close(self) -> None:
        """Close the connections; a second call does nothing. Questions that wait end with `CallLost`."""


class HeldCall(Protocol):
    """A question that this worker took. No other worker gets it, except after this one was lost."""

    @property
    def question(self) -> Question: ...

    @property
    def queue(self) -> str: ...

    @property
    def may_have_run(self) -> bool:
        """True if another worker had the question and was lost. It must not be run again."""

    async def answer(self, answer: Answer) -> None:
        """Send the answer, once. Raise nothing if the caller is gone or the broker cannot be reached: then the caller
        gets no answer."""


class CallServer(Protocol):
    """Takes questions. After a broken connection it reconnects by itself."""

    @property
    def trouble(self) -> str:
        """The current reason why no questions can be taken, for people; empty if there is none."""

    async def start(self, queues: Sequence[str], most: int) -> None:
        """Serve these queues, and hold at most `most` unanswered questions. Return when callers find this server, or
        after the first attempt if that fails; it is then tried again until `stop`."""

    async def adjust(self, most: int) -> None:
        """Hold at most `most` unanswered questions from now on."""

    async def receive(self) -> HeldCall:
        """Return the next question; wait for one."""

    async def stop(self) -> "Sequence[HeldCall]":
        """Take no more questions, so that callers get `NobodyServes`. Questions that were taken can still be answered.
        Return those that `receive` has not returned yet."""

    async def close(self) -> None:
        """Close the connections; a second call does nothing."""
