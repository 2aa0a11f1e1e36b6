"""Answers to calls in the app: a listener's result as bytes, and an answer as the caller's value or error."""

from collections.abc import Callable
from typing import Any

from app_adapter.defer import encoded
from app_adapter.listener_api import is_json
from bridge.attempt import Error
from bridge.call import Answer, AnswerKind
from bridge.errors import (
    CallError,
    CallFailed,
    CallLost,
    CallRejected,
    CallTimedOut,
    InvalidPayload,
    NobodyServes,
    TooLarge,
)


def answer_in(result: Any, dumps: Callable[[Any], str], max_body: int) -> tuple[bytes, str]:
    """Return a listener's result as the data of an answer, and its content type: bytes unchanged, all else as JSON.
    Raise `InvalidPayload`, or `TooLarge` for more than `max_body` bytes."""
    try:
        data, content_type = encoded(result, None, dumps)
    except InvalidPayload as error:
        raise InvalidPayload(f"the listener's result is no answer: {error}") from error
    if len(data) > max_body:
        raise TooLarge(f"the answer is {len(data)} bytes: expected at most {max_body} (max_body)")
    return data, content_type


def value_of(answer: Answer, name: str, loads: Callable[[bytes], Any]) -> Any:
    """Return the value of an answer to the call of this name: decoded JSON, or bytes. Raise the `CallError` that the
    answer is."""
    if answer.kind is not AnswerKind.ANSWERED:
        raise error_of(answer, name)
    if not is_json(answer.content_type):
        return answer.data
    try:
        return loads(answer.data)
    except ValueError as error:
        raise CallError(f"the answer to the call of {name!r} is no JSON: {error}") from error


def error_of(answer: Answer, name: str) -> CallError:
    """Return the error of a call that was not answered."""
    error = answer.error or Error(str(answer.kind), "no reason was given")
    match answer.kind:
        case AnswerKind.REJECTED:
            return CallRejected(error.message)
        case AnswerKind.NO_LISTENER:
            return NobodyServes(f"no worker takes calls of {name!r}: {error.message}")
        case AnswerKind.LATE | AnswerKind.OUT_OF_TIME:
            return CallTimedOut(f"no answer to the call of {name!r} in time: {error.message}")
        case AnswerKind.LOST:
            return CallLost(f"no answer to the call of {name!r}: {error.message}")
        case AnswerKind.NOT_BEGUN:
            return NobodyServes(f"no worker takes calls of {name!r} now: {error.message}")
        case _:
            return CallFailed(error.type, error.message, error.traceback)
