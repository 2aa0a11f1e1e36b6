"""An app with its extension, and a replay sent to it as a worker would send it."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from werkzeug.test import run_wsgi_app

from app_adapter import DeferredEvents, Event
from app_adapter.app_state import AppState
from app_adapter.listeners import Function
from bridge.envelope import Envelope
from bridge.event import Event as Deferred
from bridge.reply import Verdict, verdict_of
from bridge.request import parameters

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = "01900000-0000-7000-8000-000000000001"


@dataclass
class Answer:
    """The app's answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    errors: str

    @property
    def verdict(self) -> Verdict:
        """The receiver's verdict. Fails if there is none."""
        verdict = verdict_of(self.headers, NOW)
        assert verdict is not None, f"no verdict: {self}"
        return verdict


@dataclass
class Shop:
    """A Flask app with the extension. `received` are the events that `keep` was called with."""

    app: Flask = field(default_factory=lambda: Flask("shop"))
    config: dict[str, Any] = field(default_factory=dict)
    received: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app.config.update(self.config)
        self.events = DeferredEvents(self.app)

    @property
    def state(self) -> AppState:
        """The extension's state of the app."""
        state = self.app.extensions["deferred_events"]
        assert isinstance(state, AppState)
        return state

    def listens(self, name: str = "keep", raising: BaseException | None = None, **options: Any) -> Function:
        """Add a listener of `order.#` that keeps its event, and then raises the given exception."""

        def listener(event: Event) -> None:
            self.received.append(event)
            if raising is not None:
                raise raising

        return self.events.on("order.#", name=name, **options)(listener)

    def replay(self, name: str = "order.paid", data: bytes = b"{}", **changes: Any) -> Answer:
        """Send one replay to the app. `changes` overrides parts of the environ."""
        finished = changes.pop("finished", ())
        event = Deferred(ID, name, "till", NOW, changes.pop("content_type", "application/json"), data)
        environ: dict[str, Any] = {
            **parameters(Envelope(event, NOW, finished=finished), "orders", self.state.target),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(data),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **changes,
        }
        body, status, headers = run_wsgi_app(self.app.wsgi_app, environ, buffered=True)
        return Answer(
            int(status[:3]),
            {key.lower(): value for key, value in headers},
            b"".join(body),
            environ["wsgi.errors"].getvalue(),
        )


Change = Callable[[Shop], object]
