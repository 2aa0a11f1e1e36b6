"""The recording for an app's own tests: tests read deferred events and replay them through the receiver. No broker.

with events.testing() as deferred:
    client.post("/accounts", json={"name": "Ada"})
    assert deferred[0].name == "account.created"
    deferred.replay()
"""

import io
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, overload

from flask import Flask
from werkzeug.test import run_wsgi_app

from app_adapter.defer import EXTENSION, JSON
from app_adapter.listener_api import is_json
from app_adapter.recorded_mailboxes import RecordedMailboxes
from bridge.call import Answer, Question
from bridge.call_reply import answer_of, call_parameters
from bridge.envelope import Envelope
from bridge.errors import DuplicateEvent, EventFailed, InvalidName, NobodyServes, Unroutable
from bridge.event import Event
from bridge.handling import Handling
from bridge.outcome import Outcome, Reply, Succeeded, outcome_of
from bridge.queues import CATCH_ALL, route
from bridge.request import ReplayTarget, parameters
from bridge.topics import RESERVED, check_name, is_reserved
from bridge.trust import Trust


@dataclass(frozen=True, slots=True, eq=False)
class RecordedEvent:
    """An event that was deferred and recorded instead of published.

    `delay`, `at` and `to` are the arguments of `defer()`. `queues` are the queues that the broker would have put the
    event into. An event `to` a queue of Sidekiq has none; its payload is the job.
    `finished` are the names of listeners that have finished before and are not called.
    """

    event: Event
    app: Flask
    target: ReplayTarget
    queues: tuple[str, ...]
    delay: float | timedelta | str | None
    at: datetime | None
    finished: tuple[str, ...] = ()
    to: str | None = None

    @property
    def id(self) -> str:
        """The id that `defer()` returned."""
        return self.event.id

    @property
    def name(self) -> str:
        """The event's name."""
        return self.event.name

    @property
    def handling(self) -> Handling:
        """The arguments `priority`, `expires` (a time in UTC), `key` and `retry` of `defer()`."""
        return self.event.handling

    @property
    def payload(self) -> Any:
        """The payload as a listener receives it: encoded to JSON and decoded again, or bytes."""
        return self.app.json.loads(self.event.data) if is_json(self.event.content_type) else self.event.data

    def replay(self, *, check: bool = True) -> list[Outcome]:
        """Replay the event now, once for each of its queues, whatever its delay; return the outcomes.

        Raise `EventFailed` unless every outcome is `Succeeded`. With `check=False`, only return the outcomes.
        """
        return _outcomes([self], check)


class Recording(Sequence[RecordedEvent]):
    """The deferred events, in order. A sequence; safe for use in several threads."""

    def __init__(self) -> None:
        self.mailboxes = RecordedMailboxes()
        self._deferred: list[RecordedEvent] = []
        self._replayed = 0
        self._cancelled: set[str] = set()
        self._keys: dict[tuple[str, str | None], tuple[str, datetime]] = {}
        self._lock = threading.RLock()  # a finalizer can defer in the middle of `add`

    def add(self, deferred: RecordedEvent, within: timedelta | None = None) -> None:
        """Record an event. Raise `Unroutable` as the broker would: if the event is due now and no queue takes it. With
        `within`, raise `DuplicateEvent` if another event holds its key."""
        if not deferred.queues and deferred.delay is None and deferred.at is None and deferred.to is None:
            raise Unroutable(
                f"no queue takes {deferred.name!r}: it matches no pattern, and there is no 'default' queue"
            )
        with self._lock:
            if within is not None:
                self.hold_key(deferred.event, within)
            self._deferred.append(deferred)

    def internal(self, app: Flask, name: str, payload: object) -> RecordedEvent:
        """Record an internal event of the app's site, such as `bridge.dead_letter.rejected`, as a worker publishes it;
        return it. Raise `InvalidName` for a name that is not reserved for them, and `Unroutable` if no queue of the
        site names the event."""
        if not is_reserved(check_name(name)):
            raise InvalidName(f"internal event {name!r}: expected a name that begins with {RESERVED!r}")
        state, now = app.extensions[EXTENSION], datetime.now(UTC)
        event = Event(str(uuid.uuid4()), name, "bridge", now, JSON, app.json.dumps(payload).encode())
        queues = route(state.settings.queues(), name)
        if not queues:
            raise Unroutable(f"no queue takes {name!r}: expected a queue with a pattern such as '{RESERVED}#'")
        recorded = RecordedEvent(event, app, state.target, queues, None, None)
        self.add(recorded)
        return recorded

    def received(
        self,
        app: Flask,
        name: str,
        data: bytes,
        *,
        content_type: str = JSON,
        id: str | None = None,
        source: str = "a test",
        time: datetime | None = None,
        queue: str = CATCH_ALL,
        finished: Sequence[str] = (),
    ) -> RecordedEvent:
        """Return an event as it came from a queue, such as one that became a dead letter, ready for `replay()`. It is
        not added to the recording, which has what its listeners defer. `finished` are the listeners that have finished
        before."""
        state = app.extensions[EXTENSION]
        event = Event(id or str(uuid.uuid4()), name, source, time or datetime.now(UTC), content_type, data)
        return RecordedEvent(event, app, state.target, (queue,), None, None, tuple(finished))

    def cancel(self, event_id: str) -> None:
        """Leave an event out of the next `replay()`, if it was not replayed yet."""
        with self._lock:
            self._cancelled.add(event_id)

    def hold_key(self, event: Event, within: timedelta) -> None:
        """Let an event hold its key. Raise `DuplicateEvent` if another one holds it."""
        key = (event.name, event.handling.key)
        with self._lock:
            first, until = self._keys.get(key, ("", event.time))
            if event.time < until:
                raise DuplicateEvent(first, f"event {event.name!r}: {first} has its key {event.handling.key!r} already")
            self._keys[key] = (event.id, event.time + within)

    def replay(self, *, check: bool = True) -> list[Outcome]:
        """Replay the events that were not replayed yet and not cancelled; return the outcomes in order.

        Raise `EventFailed` after all of them, unless every outcome is `Succeeded`. With `check=False`, only return the
        outcomes: a listener that failed is a `Failed` with error and traceback. Events that listeners defer meanwhile
        are recorded for the next `replay()`.
        """
        with self._lock:
            pending = [each for each in self._deferred[self._replayed :] if each.id not in self._cancelled]
            self._replayed = len(self._deferred)
        return _outcomes(pending, check)

    @overload
    def __getitem__(self, index: int) -> RecordedEvent: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RecordedEvent]: ...
    def __getitem__(self, index: int | slice) -> RecordedEvent | Sequence[RecordedEvent]:
        return self._deferred[index]

    def __len__(self) -> int:
        return len(self._deferred)

    def __repr__(self) -> str:
        return f"<Recording {[deferred.name for deferred in self._deferred]}>"


def _outcomes(events: Sequence[RecordedEvent], check: bool) -> list[Outcome]:
    replays = [(deferred, queue, _replay(deferred, queue)) for deferred in events for queue in deferred.queues]
    outcomes = [outcome for _, _, outcome in replays]
    if check:
        failures = [_text(*each) for each in replays if not isinstance(each[2], Succeeded)]
        if failures:
            raise EventFailed("\n".join([*failures, "replay(check=False) returns the outcomes instead"]), outcomes)
    return outcomes


def _text(deferred: RecordedEvent, queue: str, outcome: Outcome) -> str:
    """Return why an event was not delivered, with the traceback of its listener."""
    error = outcome.error if not isinstance(outcome, Succeeded) else None
    if error is None:
        return ""
    what = f"{deferred.name!r} from the queue {queue!r} was not delivered, but {type(outcome).__name__}"
    return f"{what}: {error.type}: {error.message}{f'{chr(10)}{error.traceback}' if error.traceback else ''}"


def answer_in_process(
    question: Question, app: Flask, target: ReplayTarget, queues: Sequence[str], max_body: int
) -> Answer:
    """Return the answer of the app's own listeners to a call, run at once in this thread. Raise `NobodyServes` if no
    queue takes the name."""
    name = question.event.name
    if not queues:
        raise NobodyServes(f"no queue takes {name!r}: it matches no pattern, and there is no 'default' queue")
    reply = _reply(app, call_parameters(question, queues[0], target), question.event.data)
    return answer_of(reply, Trust.RECEIVER, max_body, datetime.now(UTC))


def _replay(deferred: RecordedEvent, queue: str) -> Outcome:
    now = datetime.now(UTC)
    envelope = Envelope(deferred.event, round_began=now, finished=deferred.finished)
    fields = parameters(envelope, queue, deferred.target)
    return outcome_of(_reply(deferred.app, fields, deferred.event.data), Trust.RECEIVER, now)


def _reply(app: Flask, fields: Mapping[str, str], data: bytes) -> Reply:
    """Return the app's reply to a replay with these parameters and this body."""
    environ: dict[str, Any] = {
        **fields,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    body, status, headers = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    return Reply(int(status[:3]), {name.lower(): value for name, value in headers}, b"".join(body))
