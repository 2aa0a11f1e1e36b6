"""For an app's own tests: deferred events are recorded, looked at, and replayed through the real receiver. No broker.

with events.testing() as deferred:
    client.post("/accounts", json={"name": "Ada"})
    assert deferred[0].name == "account.created"
    assert deferred.replay() == [Succeeded()]
"""

import io
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, overload

from flask import Flask
from werkzeug.test import run_wsgi_app

from app_adapter.received import is_json
from bridge.envelope import Envelope
from bridge.errors import Unroutable
from bridge.event import Event
from bridge.outcome import Outcome, Reply, Trust, outcome_of
from bridge.request import Site, parameters


@dataclass(frozen=True, slots=True, eq=False)
class Deferred:
    """An event that was deferred and not published. `delay` and `at` are as they were given; `queues` would take it."""

    event: Event
    app: Flask
    site: Site
    queues: tuple[str, ...]
    delay: float | timedelta | None
    at: datetime | None

    @property
    def id(self) -> str:
        """What `defer()` returned."""
        return self.event.id

    @property
    def name(self) -> str:
        """The event's name."""
        return self.event.name

    @property
    def payload(self) -> Any:
        """The payload as a listener will see it: through JSON and back, or bytes."""
        return self.app.json.loads(self.event.data) if is_json(self.event.content_type) else self.event.data

    def replay(self) -> list[Outcome]:
        """Replay it once for each queue that takes it, whatever its delay; return the outcomes."""
        return [_replay(self, queue) for queue in self.queues]


class Recording(Sequence[Deferred]):
    """What was deferred, in order. A sequence that threads may add to."""

    def __init__(self) -> None:
        self._deferred: list[Deferred] = []
        self._replayed = 0
        self._lock = threading.Lock()

    def add(self, deferred: Deferred) -> None:
        """Record an event. Raise `Unroutable` as the broker would: where it is due now and no queue takes it."""
        if not deferred.queues and deferred.delay is None and deferred.at is None:
            raise Unroutable(
                f"no queue takes {deferred.name!r}: it matches no pattern, and there is no 'default' queue"
            )
        with self._lock:
            self._deferred.append(deferred)

    def replay(self) -> list[Outcome]:
        """Replay what was recorded and not replayed yet, and return the outcomes in order.

        Nothing is raised: a listener that failed is a `Failed` in the list, with its error and traceback. What
        listeners defer meanwhile is recorded too, and left for the next `replay()`.
        """
        with self._lock:
            pending = self._deferred[self._replayed :]
            self._replayed = len(self._deferred)
        return [outcome for deferred in pending for outcome in deferred.replay()]

    @overload
    def __getitem__(self, index: int) -> Deferred: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Deferred]: ...
    def __getitem__(self, index: int | slice) -> Deferred | Sequence[Deferred]:
        return self._deferred[index]

    def __len__(self) -> int:
        return len(self._deferred)

    def __repr__(self) -> str:
        return f"<Recording {[deferred.name for deferred in self._deferred]}>"


def _replay(deferred: Deferred, queue: str) -> Outcome:
    now = datetime.now(UTC)
    environ: dict[str, Any] = {
        **parameters(Envelope(deferred.event, round_began=now), queue, deferred.site),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(deferred.event.data),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    body, status, headers = run_wsgi_app(deferred.app.wsgi_app, environ, buffered=True)
    reply = Reply(int(status[:3]), {name.lower(): value for name, value in headers}, b"".join(body))
    return outcome_of(reply, Trust.RECEIVER, now)
