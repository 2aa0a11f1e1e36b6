"""Defers the events of one app: makes them from their deferrals, and publishes or records them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask

from app_adapter.defer import due_of, make_event
from app_adapter.deferral import Deferral, handling_of, within_of
from app_adapter.fork_safe_publishing import publish, publish_many
from app_adapter.outgoing import Outgoing
from app_adapter.sidekiq_jobs import arguments_of, as_job, check_travels
from app_adapter.trace import current_traceparent
from app_adapter.with_sqlalchemy import imported
from bridge.config.settings import Settings
from bridge.errors import DeferError, DuplicateEvent, NotAllDeferred, Unroutable, shown
from bridge.queues import Queue, route
from bridge.request import ReplayTarget

if TYPE_CHECKING:
    from app_adapter.testing import Recording
    from bridge.moments import Tell

Given = tuple[str, Any] | Deferral
"""An event of `defer_many()`: its name and payload, or all the arguments of `defer()`."""


@dataclass(frozen=True, slots=True)
class Deferring:
    """The events of one app. `recording` returns the recording of a test, None without one."""

    app: Flask
    settings: Settings
    tell: "Tell"
    target: ReplayTarget
    recording: "Callable[[], Recording | None]"

    def defer(self, deferral: Deferral, session: Any = None) -> str:
        """Defer one event; see `app_adapter.defer`."""
        outgoing = self.made(deferral)
        _check_session(session, [deferral])
        try:
            if session is None:
                self.send(outgoing, deferral)
            elif (duplicate := self._write(session, [outgoing], [deferral])[0]) is not None:
                raise duplicate
        except DuplicateEvent as error:
            if deferral.on_duplicate == "raise":
                raise
            return error.event_id
        return outgoing.event.id

    def made(self, deferral: Deferral) -> Outgoing:
        """Return the event of a deferral, which nobody has sent yet. Raise what `defer()` raises for its arguments."""
        return self._made(deferral, current_traceparent())

    def _made(self, deferral: Deferral, traceparent: str | None) -> Outgoing:
        check_travels(deferral)
        now, values = datetime.now(UTC), self.settings.values
        due = due_of(deferral.delay, deferral.at, now)
        event = make_event(
            deferral.name,
            deferral.payload if deferral.to is None else arguments_of(deferral.payload),
            content_type=deferral.content_type,
            source=deferral.source or values.source or self.app.name,
            dumps=self.app.json.dumps,
            max_body=values.max_body,
            traceparent=traceparent,
            now=now,
            handling=handling_of(deferral, due, now),
        )
        if deferral.to is not None:
            return as_job(event, due, deferral, values.stores)
        return Outgoing(event, due, within_of(deferral, now))

    def send(self, outgoing: Outgoing, deferral: Deferral) -> None:
        """Publish or record an event that was made. Raise what `defer()` raises."""
        recording = self.recording()
        if recording is not None:
            from app_adapter.testing import RecordedEvent

            event = outgoing.event
            queues = route(self.settings.queues(), event.name) if deferral.to is None else ()
            delay, at = deferral.delay, deferral.at
            recorded = RecordedEvent(event, self.app, self.target, queues, delay, at, to=deferral.to)
            recording.add(recorded, outgoing.within)
        elif self.app.testing:
            raise DeferError(_in_a_test(self.app.name, outgoing.event.name))
        else:
            event, due = outgoing.event, outgoing.due
            publish(self.settings, event, due, self.tell, within=outgoing.within, sidekiq=outgoing.sidekiq)

    def defer_many(self, given: Iterable[Given], session: Any = None) -> list[str]:
        """Defer all events; see `app_adapter.defer_many`."""
        deferrals = [_deferral(each, at) for at, each in enumerate(given)]
        trace = current_traceparent()
        made = [self._made_one_of_many(deferral, at, trace) for at, deferral in enumerate(deferrals)]
        _check_session(session, deferrals)
        if session is not None:
            return _ids(made, deferrals, self._write(session, made, deferrals))
        if made and self.recording() is None and self.app.testing:
            raise DeferError(_in_a_test(self.app.name, made[0].event.name))
        if self.recording() is not None:
            answers = [self._recorded(outgoing, deferral) for outgoing, deferral in zip(made, deferrals, strict=True)]
        else:
            answers = publish_many(self.settings, made, self.tell)
        return _ids(made, deferrals, answers)

    def defer_in_flush(self, deferrals: Sequence[Deferral], session: Any) -> None:
        """Write events into the outbox while the session flushes, in the flush's own transaction or savepoint. Raise
        what `defer()` raises; the flush then fails with it."""
        made = [self.made(deferral) for deferral in deferrals]
        self._write(session, made, deferrals, by="insert")

    def _made_one_of_many(self, deferral: Deferral, at: int, traceparent: str | None) -> Outgoing:
        try:
            return self._made(deferral, traceparent)
        except DeferError as error:
            error.args = (f"event {at} of defer_many(): {error}; nothing was published",)
            raise

    def _write(
        self, session: Any, made: Sequence[Outgoing], deferrals: Sequence[Deferral], by: str = "write"
    ) -> list[DuplicateEvent | None]:
        """Write events into the outbox, in the transaction of the session; in a test, record them at its commit. Return
        for each event None, or the error of one whose key another event holds. `by` is the function of
        `app_adapter.sqlalchemy.outbox` that writes them."""
        queues, recording = self.settings.queues(), self.recording()
        for outgoing in made:
            check_has_queue(outgoing.event.name, outgoing.due, queues)
        if made and recording is None and self.app.testing:
            raise DeferError(_in_a_test(self.app.name, made[0].event.name))
        answers = [self._key_held(session, outgoing) for outgoing in made]
        pairs = zip(made, deferrals, answers, strict=True)
        written = [(outgoing, deferral) for outgoing, deferral, answer in pairs if answer is None]
        if recording is None:
            write = getattr(imported("outbox"), by)
            write(session, self.settings.values.namespace, [outgoing for outgoing, _ in written])
        else:
            for outgoing, deferral in written:
                held = replace(outgoing, within=None)
                imported("commits").at_commit(session, partial(self.send, held, deferral))
        return answers

    def _key_held(self, session: Any, outgoing: Outgoing) -> DuplicateEvent | None:
        """Let the event hold its key, if it asks for that; return the error if another event holds the key."""
        recording = self.recording()
        try:
            if outgoing.within is None:
                pass
            elif recording is None:
                namespace = self.settings.values.namespace
                imported("keys").hold_key(session, namespace, outgoing.event, outgoing.within)
            else:
                recording.hold_key(outgoing.event, outgoing.within)
        except DuplicateEvent as duplicate:
            return duplicate
        return None

    def _recorded(self, outgoing: Outgoing, deferral: Deferral) -> DeferError | None:
        try:
            self.send(outgoing, deferral)
        except DeferError as error:
            return error
        return None


def check_has_queue(name: str, due: datetime | None, queues: Sequence[Queue]) -> None:
    """Raise `Unroutable` for an event of this name that is due now (`due` is None) and that no queue takes."""
    if due is None and not route(queues, name):
        raise Unroutable(f"no queue takes {name!r}: it matches no pattern, and there is no 'default' queue")


def _check_session(session: Any, deferrals: Iterable[Deferral]) -> None:
    if session is not None and any(deferral.to is not None for deferral in deferrals):
        raise DeferError("session=…: a job of Sidekiq is in no transaction of a database; expected it without `to`")


def _deferral(given: object, at: int) -> Deferral:
    match given:
        case Deferral():
            return given
        case (str() as name, payload):
            return Deferral(name, payload)
    raise DeferError(
        f"event {at} of defer_many()={shown(given)}: expected (name, payload) or a Deferral; nothing was published"
    )


def _ids(made: Sequence[Outgoing], deferrals: Sequence[Deferral], answers: Sequence[DeferError | None]) -> list[str]:
    """Return the ids of all events. Raise `NotAllDeferred` if one was not deferred."""
    ids: list[str | None] = []
    errors: dict[int, DeferError] = {}
    for at, (outgoing, deferral, answer) in enumerate(zip(made, deferrals, answers, strict=True)):
        if answer is None:
            ids.append(outgoing.event.id)
        elif isinstance(answer, DuplicateEvent) and deferral.on_duplicate != "raise":
            ids.append(answer.event_id)
        else:
            ids.append(None)
            errors[at] = answer
    if errors:
        raise NotAllDeferred(ids, errors)
    return [each for each in ids if each is not None]


def _in_a_test(app: str, event: str) -> str:
    return (
        f"the app {app!r} has TESTING set, so {event!r} is not sent to a broker. Defer it in a `with events.testing() "
        "as deferred:` block, or use the pytest fixture `deferred_events`; both record the event. A test that needs "
        "the broker sets app.testing = False"
    )
