"""Questions and answers on the wire, and the time that a caller still waits."""

from datetime import timedelta

import pytest

from bridge.attempt import Error
from bridge.call import Answer, AnswerKind, Question, decode_answer, decode_question, encode_answer, encode_question
from bridge.errors import UnreadableEnvelope
from tests.events import new_event

QUESTION = Question(new_event("str.reverse", b'{"str": "x"}\n\x00'), 2.5)
ANSWERS = [
    Answer(AnswerKind.ANSWERED, b"\n\x00\xff\n", "text/plain", release="r1"),
    Answer(AnswerKind.ANSWERED, b"", "application/json"),
    Answer(AnswerKind.FAILED, error=Error("ValueError", "ä\n\ud800", "Traceback")),
    Answer(AnswerKind.NOT_BEGUN),
]


def test_a_question_is_read_as_it_was_written() -> None:
    """The data byte for byte."""
    assert decode_question(encode_question(QUESTION)) == QUESTION


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: str(answer.kind))
def test_an_answer_is_read_as_it_was_written(answer: Answer) -> None:
    """A lone surrogate, which UTF-8 cannot encode, is escaped."""
    read = decode_answer(encode_answer(answer))
    assert (read.kind, read.data, read.content_type) == (answer.kind, answer.data, answer.content_type)
    assert read.error == (answer.error and answer.error.bounded())
    assert read.release == answer.release


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"[]\n",
        b'{"v":2}\n',
        b'{"v":true}\n',
        b'{"v":1}\n',
        b'{"v":1,"kind":"maybe","timeout":1}\n',
        b'{"v":1,"kind":3,"timeout":-1,"event":"{}"}\n',
        b'{"v":1,"kind":"failed","error":"x","timeout":1,"event":"{}"}\n',
    ],
)
def test_what_cannot_be_read(damaged: bytes) -> None:
    """One error, whatever is wrong."""
    with pytest.raises(UnreadableEnvelope):
        decode_question(damaged)
    with pytest.raises(UnreadableEnvelope):
        decode_answer(damaged)


@pytest.mark.parametrize(("passed", "remaining"), [(0.0, 2.5), (1.0, 1.5), (2.5, 0.0), (3.0, -0.5), (-9.0, 2.5)])
def test_the_time_that_the_caller_still_waits(passed: float, remaining: float) -> None:
    """Never more than the timeout, also if the caller's clock is ahead."""
    now = QUESTION.event.time + timedelta(seconds=passed)
    assert QUESTION.remaining(now) == pytest.approx(remaining)
