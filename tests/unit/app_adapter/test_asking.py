"""A call's way through the publishing thread: it is asked again if it was not begun, and it ends in time."""

import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from app_adapter.fork_safe_publishing import ask
from app_adapter.publishing_thread import PublishingThread
from bridge.brokers.contract.calling import Caller
from bridge.call import Answer, AnswerKind, Question, unanswered
from bridge.config.settings import load_settings
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    BrokerUnavailable,
    CallError,
    CallTimedOut,
    CallUnavailable,
    NobodyServes,
)
from bridge.local_database.own_threads import mark_this_thread
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.queues import Queue
from tests.events import new_event
from tests.unit.app_adapter.doubles import FakeBroker, for_ever, raising

QUEUES = (Queue("mail", ("mail.#",)), Queue("audit", ("mail.sent",)), Queue("default"))
ANSWER = Answer(AnswerKind.ANSWERED, b"yes", "text/plain")
NOT_BEGUN = unanswered(AnswerKind.NOT_BEGUN, "the worker stops")

Result = Answer | Exception | Callable[[], Awaitable[None]]


class FakeCaller:
    """A caller with these results, one for each question."""

    def __init__(self, *results: Result) -> None:
        self.results = list(results)
        self.queues: list[tuple[str, ...]] = []

    async def ask(self, question: Question, queues: Sequence[str], deadline: Deadline) -> Answer:
        self.queues.append(tuple(queues))
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        if not isinstance(result, Answer):
            await result()
            return ANSWER
        return result

    async def close(self) -> None:
        """Do nothing."""


class CallingBroker(FakeBroker):
    """A broker with a caller."""

    def __init__(self, *results: Result, declaring: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__(**({} if declaring is None else {"declaring": declaring}))
        self.asked = FakeCaller(*results)

    def caller(self) -> Caller:
        return self.asked


def answer_of(broker: CallingBroker, name: str = "mail.sent", timeout: float = 20.0) -> Answer:
    """Ask through a thread, and close it."""
    thread = PublishingThread(lambda: LazyPublisher(lambda: broker, QUEUES))
    try:
        return thread.ask(Question(new_event(name, b"{}"), timeout), Deadline.after(timeout, time.monotonic()))
    finally:
        thread.close()


def test_a_call_goes_to_the_queues_of_its_name_in_their_order() -> None:
    """By the caller's settings."""
    broker = CallingBroker(ANSWER)
    assert answer_of(broker) == ANSWER
    assert broker.asked.queues == [("mail", "audit")]


def test_a_call_that_was_not_begun_is_asked_again() -> None:
    """Its worker stopped before, so nothing ran."""
    broker = CallingBroker(NOT_BEGUN, NOT_BEGUN, ANSWER)
    assert answer_of(broker) == ANSWER
    assert len(broker.asked.queues) == 3


def test_the_last_worker_stops() -> None:
    """The call is asked again, and nobody serves it."""
    with pytest.raises(NobodyServes):
        answer_of(CallingBroker(NOT_BEGUN, NobodyServes("nobody")))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (CallTimedOut("late"), CallTimedOut),
        (BrokerUnavailable("gone"), CallUnavailable),
        (RuntimeError("a defect"), CallError),
    ],
)
def test_each_error_is_one_of_a_call(result: Exception, expected: type[CallError]) -> None:
    """The message has the cause."""
    with pytest.raises(expected, match=str(result)) as raised:
        answer_of(CallingBroker(result))
    assert type(raised.value) is expected


def test_a_broker_that_cannot_be_reached() -> None:
    """The call ends at its timeout, and nothing ran."""
    refusing = raising(*[BrokerUnavailable("connection refused")] * 100)
    with pytest.raises(CallUnavailable, match="nothing ran"):
        answer_of(CallingBroker(declaring=refusing), timeout=0.3)


def test_an_answer_that_does_not_come() -> None:
    """The caller waits little longer than its timeout, though the thread still does."""
    began = time.monotonic()
    with pytest.raises(CallTimedOut, match="within 0"):
        answer_of(CallingBroker(for_ever), timeout=0.3)
    assert time.monotonic() - began < 20


def test_a_call_on_a_thread_of_the_bridge_is_refused(tmp_path: Path) -> None:
    """It would wait for itself."""
    settings = load_settings(command_line={"broker_url": f"sqlite:///{tmp_path}/b.db"}, environ={})
    raised: list[BridgeError] = []

    def call() -> None:
        mark_this_thread()
        try:
            ask(settings, Question(new_event("mail.sent", b"{}"), 1.0))
        except BridgeError as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert isinstance(raised[0], CallError)
    assert "would wait for itself" in str(raised[0])
    assert list(tmp_path.iterdir()) == []
