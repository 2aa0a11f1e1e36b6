"""Mutants of calls: our programs with one promise about calls broken on purpose. See `mutants`."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiormq.channel import Channel as Engine

from app_adapter.publishing_thread import PublishingThread
from bridge.brokers.rabbitmq.calling import caller as rabbitmq_caller
from bridge.brokers.rabbitmq.calling.server import RabbitCallServer
from bridge.brokers.rabbitmq.connection.delivery_stream import Deliver
from bridge.brokers.sqlite.calling import caller as sqlite_caller
from bridge.brokers.sqlite.calling.call_table import CallTable, Taken
from bridge.call import Answer, Question, decode_answer
from bridge.deadline import Deadline
from tests.faults.replacing import put


def callers_time_not_asked() -> None:
    """Run calls whose callers have given up, and answer them."""
    put(Question, "remaining", lambda self, now: 20.0)


def call_runs_again() -> None:
    """Run the call of a lost worker in another worker."""
    take, take_rows = RabbitCallServer._take, CallTable.take

    def unsuspecting(self: RabbitCallServer, engine: Engine, method: Deliver, *rest: Any) -> None:
        take(self, engine, method._replace(redelivered=False), *rest)

    def everything(self: CallTable, owner: str, queues: Sequence[str], most: int) -> list[Taken]:
        if self._exists():
            self._connection.execute(
                f"UPDATE {self._calls} SET owner = NULL WHERE owner <> ? AND answer ISNULL", (owner,)
            )
        return take_rows(self, owner, queues, most)

    put(RabbitCallServer, "_take", unsuspecting)
    put(CallTable, "take", everything)


def answers_mixed_up() -> None:
    """Give each caller the answer that came before its own."""
    earlier: list[Answer] = []

    def mixed_up(data: bytes) -> Answer:
        earlier.append(decode_answer(data))
        return earlier[max(len(earlier) - 2, 0)]

    for module in (rabbitmq_caller, sqlite_caller):
        put(module, "decode_answer", mixed_up)


def caller_told_late() -> None:
    """Wait five seconds longer for an answer than the caller asked for."""
    ask = PublishingThread.ask

    def patient(self: PublishingThread, question: Question, deadline: Deadline) -> Answer:
        now = time.monotonic()
        return ask(self, question, Deadline.after(deadline.remaining(now) + 5.0, now))

    put(PublishingThread, "ask", patient)


CALL_MUTANTS: Mapping[str, Callable[[], None]] = {
    "an answer to a caller that is gone": callers_time_not_asked,
    "a call runs twice": call_runs_again,
    "answers mixed up": answers_mixed_up,
    "a caller is told late": caller_told_late,
}
