"""Defers the events of a request, or answers a call."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from app_adapter.app_state import AppState
from app_adapter.defer import due_of, encoded
from app_adapter.deferral import Deferral, checked_key
from app_adapter.deferring import check_has_queue
from app_adapter.ingress.asked import Asked
from app_adapter.ingress.cloudevents import Received
from app_adapter.ingress.keys import Keys
from app_adapter.ingress.problems import Problem, of_error
from bridge.errors import (
    CallError,
    CallTimedOut,
    CallUnavailable,
    DeferError,
    InvalidName,
    NobodyServes,
    NotAllDeferred,
    StoreUnavailable,
    TooLarge,
)
from bridge.topics import check_name, is_reserved

_NOT_IN_TIME = (CallTimedOut, CallUnavailable, NobodyServes)
"""The ends of a call after which its event is deferred: no answer comes any more."""

_OTHER_IS_WRONG = Problem(
    HTTPStatus.FAILED_DEPENDENCY, "the event is not deferred, because another event of the batch is wrong"
)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a call."""

    value: Any


@dataclass(frozen=True, slots=True)
class Sent:
    """The ends of the events of a batch, in order: the id of one that was deferred, or its problem."""

    ends: Sequence[str | Problem] = field(default_factory=list)

    @property
    def status(self) -> HTTPStatus:
        """202 if all events were deferred, the status of their problems if none was, else 207."""
        statuses = {end.status if isinstance(end, Problem) else HTTPStatus.ACCEPTED for end in self.ends}
        statuses -= {_OTHER_IS_WRONG.status}
        if not statuses:
            return HTTPStatus.ACCEPTED
        return statuses.pop() if len(statuses) == 1 else HTTPStatus.MULTI_STATUS

    @property
    def retry_after(self) -> str | None:
        """The header Retry-After of the events that were not deferred; None without one."""
        found = [end.headers.get("Retry-After") for end in self.ends if isinstance(end, Problem)]
        return next((each for each in found if each is not None), None)


def check(event: Received, max_body: int) -> None:
    """Raise `Problem` for an event that cannot be deferred."""
    try:
        if is_reserved(check_name(event.name)):
            raise InvalidName(f"event name {event.name!r}: expected a name that does not begin with 'bridge.'")
        if len(event.payload or b"") > max_body:
            raise TooLarge(
                f"the data of {event.name!r} is {len(event.payload or b'')} bytes: expected at most {max_body}"
            )
    except DeferError as error:
        raise of_error(error) from error


def send(state: AppState, keys: Keys, event: Received, asked: Asked) -> str | Answered:
    """Call, or defer, one event; return the answer, or the id. Raise `Problem`."""
    deferral = _deferral(event, asked)
    try:
        return _call(state, deferral, asked.wait) if asked.wait else keys.defer(state, deferral)
    except (DeferError, CallError, StoreUnavailable) as error:
        raise of_error(error) from error


def _call(state: AppState, deferral: Deferral, wait: float) -> str | Answered:
    """Call the listeners with the event. If no answer comes in time, defer that same event, so that a listener that
    runs once does not repeat what it has done in the call."""
    outgoing = state.deferring.made(deferral)
    try:
        return Answered(state.calling.ask(outgoing.event, wait))
    except _NOT_IN_TIME:
        state.deferring.send(outgoing, deferral)
        return outgoing.event.id


def send_many(state: AppState, keys: Keys, events: Sequence[Received | Problem], asked: Asked) -> Sent:
    """Defer all events, or none of them if one is wrong. Raise `Problem` if the headers do not fit an event."""
    deferrals = [event if isinstance(event, Problem) else _deferral(event, asked) for event in events]
    try:
        found = _checked(state, keys, deferrals)
        wanted = [each for each in found if isinstance(each, Deferral)]
        if len(wanted) < len(found):
            return Sent([each if isinstance(each, Problem) else _OTHER_IS_WRONG for each in found])
        return Sent(keys.defer_many(state, wanted))
    except NotAllDeferred as error:
        return Sent([id or _of_one_of_many(error.errors[at]) for at, id in enumerate(error.ids)])
    except (DeferError, StoreUnavailable) as error:
        raise of_error(error) from error


def _checked(state: AppState, keys: Keys, given: Sequence[Deferral | Problem]) -> list[Deferral | Problem]:
    """Return each event of a batch, or the problem that it alone has. Raise `DeferError` for the time of all."""
    events = [each for each in given if isinstance(each, Deferral)]
    due = due_of(events[0].delay, events[0].at, datetime.now(UTC)) if events else None
    queues = state.settings.queues() if keys.stores(state, events) else None

    def check_one(deferral: Deferral) -> Deferral | Problem:
        try:
            encoded(deferral.payload, deferral.content_type, state.app.json.dumps)
            if deferral.key is not None:
                checked_key(deferral.key)
            if queues is not None:
                check_has_queue(deferral.name, due, queues)
        except DeferError as error:
            return of_error(error)
        return deferral

    return [each if isinstance(each, Problem) else check_one(each) for each in given]


def _of_one_of_many(error: DeferError) -> Problem:
    """Return the problem of an event of a batch. The base class is the error of an event that was not tried."""
    return Problem(_OTHER_IS_WRONG.status, str(error)) if type(error) is DeferError else of_error(error)


def _deferral(event: Received, asked: Asked) -> Deferral:
    arguments = {"key": event.key, **asked.arguments}
    return Deferral(event.name, event.payload, content_type=event.content_type, source=event.source, **arguments)
