"""The answer that an exchange is, for each exchange."""

import json
from datetime import UTC, datetime

import pytest

from bridge.call import AnswerKind, Question
from bridge.call_reply import answer_of, call_parameters
from bridge.call_words import is_call
from bridge.outcome import BrokenOff, Exchange, OutOfTime, Reply, Unsendable
from bridge.request import ReplayTarget, is_replay, read
from bridge.trust import Trust
from tests.events import new_event

NOW = datetime(2030, 1, 2, tzinfo=UTC)
DELIVERED = {"bridge-outcome": "delivered"}
ANSWERED = {**DELIVERED, "bridge-answer": "text/plain"}


def error(kind: str, type: str) -> dict[str, str]:
    """Return the headers of a verdict with an error."""
    return {"bridge-outcome": kind, "bridge-error": json.dumps({"type": type, "message": "why"})}


@pytest.mark.parametrize(
    ("exchange", "kind", "type"),
    [
        (Reply(200, ANSWERED, b"yes"), "answered", None),
        (Reply(200, {**ANSWERED, "content-length": "3"}, b"yes"), "answered", None),
        (Reply(200, ANSWERED, b"x" * 10), "answered", None),
        (Reply(200, ANSWERED, b"x" * 11), "failed", "TooLarge"),
        (Reply(200, {**ANSWERED, "content-length": "11"}, b"x" * 9), "failed", "TooLarge"),
        (Reply(200, {**ANSWERED, "content-length": "9"}, b"yes"), "failed", "crash"),
        (Reply(200, {**ANSWERED, "content-length": "3"}, b"yes", overlong=True), "failed", "crash"),
        (Reply(200, DELIVERED, b"delivered\n"), "failed", "failed"),
        (Reply(200, {}, b"<html>"), "failed", "no verdict"),
        (Reply(503, {}, b"busy"), "failed", "no verdict"),
        (Reply(500, error("failed", "ValueError")), "failed", "ValueError"),
        (Reply(500, error("failed", "no listener")), "no listener", "no listener"),
        (Reply(422, error("reject", "Reject")), "rejected", "Reject"),
        (Reply(503, error("overloaded", "busy")), "failed", "busy"),
        (OutOfTime(2.0), "out of time", "timeout"),
        (BrokenOff("the process was killed"), "failed", "crash"),
        (Unsendable("too many parameters"), "failed", "unsendable"),
    ],
)
def test_the_answer_that_an_exchange_is(exchange: Exchange | Unsendable, kind: str, type: str | None) -> None:
    """What is not recognised is a failure, and an answer that was cut is none."""
    answer = answer_of(exchange, Trust.RECEIVER, 10, NOW)

    assert answer.kind == kind
    assert (answer.error and answer.error.type) == type
    if answer.kind is AnswerKind.ANSWERED and isinstance(exchange, Reply):
        assert (answer.data, answer.content_type) == (exchange.body, "text/plain")


def test_the_request_of_a_call() -> None:
    """It is a replay of the first attempt, with one parameter more."""
    question = Question(new_event("str.reverse", b"{}"), 2.0)
    fields = call_parameters(question, "mail", ReplayTarget())

    assert is_replay(fields)
    assert is_call(fields)
    replay = read(fields, b"{}")
    assert (replay.event.id, replay.attempt, replay.queue) == (question.event.id, 1, "mail")
    assert not is_call({"HTTP_BRIDGE_CALL": "1"})
