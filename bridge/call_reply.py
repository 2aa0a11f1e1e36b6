"""The reply of the app's receiver to a call: what the request and the reply carry besides those of an event. Pure.

A call is replayed as an event is, in a request with the parameter `BRIDGE_CALL`. The reply of a receiver that knows
calls has the header `Bridge-Answer` with the content type of the answer, which is the body.
"""

from datetime import datetime

from bridge.attempt import Error
from bridge.call import Answer, AnswerKind, Question, unanswered
from bridge.call_words import ANSWER, CALL, NO_LISTENER
from bridge.envelope import Envelope
from bridge.outcome import Exchange, Outcome, OutOfTime, Rejected, Reply, Succeeded, Unsendable, outcome_of
from bridge.request import ReplayTarget, parameters
from bridge.trust import Trust


def call_parameters(question: Question, queue: str, target: ReplayTarget) -> dict[str, str]:
    """Return the CGI parameters of a call. The body of the request is the question's data."""
    envelope = Envelope(question.event, round_began=question.event.time)
    return {**parameters(envelope, queue, target), CALL: "1"}


def answer_of(exchange: Exchange | Unsendable, trust: Trust, max_body: int, now: datetime) -> Answer:
    """Return the answer that an exchange is. `max_body` is the most bytes of an answer."""
    outcome = outcome_of(exchange, trust, now)
    release = outcome.release
    if isinstance(outcome, Succeeded) and isinstance(exchange, Reply):
        return _whole(exchange, max_body, release)
    error = Error("error", "no answer") if isinstance(outcome, Succeeded) else outcome.error
    return Answer(_kind(outcome, error, exchange), error=error, release=release)


def _kind(outcome: Outcome, error: Error, exchange: Exchange | Unsendable) -> AnswerKind:
    if isinstance(exchange, OutOfTime):
        return AnswerKind.OUT_OF_TIME
    if isinstance(outcome, Rejected) and not isinstance(exchange, Unsendable):
        return AnswerKind.REJECTED
    return AnswerKind.NO_LISTENER if error.type == NO_LISTENER else AnswerKind.FAILED


def _whole(reply: Reply, max_body: int, release: str | None) -> Answer:
    content_type = reply.headers.get(ANSWER.lower())
    if content_type is None:
        return unanswered(AnswerKind.FAILED, "the pool's receiver ran the call as an event: it does not answer calls")
    size = reply.headers.get("content-length", "")
    if len(reply.body) > max_body or (size.isdecimal() and int(size) > max_body):
        why = f"the answer is larger than {max_body} bytes (max_body)"
        return Answer(AnswerKind.FAILED, error=Error("TooLarge", why), release=release)
    if reply.overlong or (size.isdecimal() and int(size) != len(reply.body)):
        why = f"the answer has {len(reply.body)} bytes, and its Content-Length is {size}"
        return Answer(AnswerKind.FAILED, error=Error("crash", why), release=release)
    return Answer(AnswerKind.ANSWERED, reply.body, content_type, release=release)
