"""The Flask extension: what an app gets by `DeferredEvents(app)`, and the state that it keeps for each app.

What listeners are is in `listeners`, what a replay does in `receiver`, how an event leaves the process in
`publishing_thread`; this file puts them together.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from flask import Flask, current_app, got_request_exception, has_request_context, request

from app_adapter.defer import EXTENSION, due_of, make_event
from app_adapter.listeners import F, Listeners
from app_adapter.publishing_process import publish
from app_adapter.receiver import Receiver
from app_adapter.testing import Deferred, Recording
from bridge.errors import DeferError
from bridge.queues import route
from bridge.request import Site
from bridge.settings import PREFIX, Settings, load_settings

W = TypeVar("W", bound=Callable[[], object])


class DeferredEvents:
    """Deferred events for one app or several: `DeferredEvents(app)`, or `DeferredEvents()` and `init_app(app)`."""

    def __init__(self, app: Flask | None = None) -> None:
        self.listeners = Listeners()
        self.recording: Recording | None = None
        self.warm_ups: list[Callable[[], object]] = []
        self._apps: weakref.WeakSet[Flask] = weakref.WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read the settings (the app's config `BRIDGE_*` among them), add the replay URL and wrap `app.wsgi_app`.

        Raise `SettingsError` for a setting that cannot be used, `ValueError` where the app has an extension already.
        """
        if EXTENSION in app.extensions:
            raise ValueError(f"the app {app.name!r} has DeferredEvents already")
        settings = load_settings(flask_config={key: app.config[key] for key in app.config if key.startswith(PREFIX)})
        receiver = Receiver(app.wsgi_app, self.listeners, settings.values.release)
        app.add_url_rule(
            f"{settings.values.replay_path}/<name>",
            endpoint="bridge_replay",
            view_func=receiver.bridge_replay,
            methods=["POST"],
            **_any_host(app),
        )
        got_request_exception.connect(receiver.note_late_error, app)
        app.wsgi_app = receiver  # type: ignore[method-assign]  # so Flask asks to wrap it
        app.extensions[EXTENSION] = AppState(app, self, settings)
        self._apps.add(app)

    def on(
        self, *patterns: str, priority: int = 0, observer: bool = False, name: str | None = None
    ) -> Callable[[F], F]:
        """Make the decorated function, plain or async, a listener of the events that one of the patterns takes.

        It is called with one `Event`. Of several listeners the highest `priority` comes first. An `observer` sees
        events, is no reason to call them handled, and cannot fail them. `name` (else `module:function`) stands for
        the listener across attempts. Raise `ValueError` for a pattern that is none, and for a name that is taken.
        """
        return self.listeners.on(*patterns, priority=priority, observer=observer, name=name)

    def on_warmup(self, function: W) -> W:
        """Make the decorated function, plain or async and without arguments, part of the boot of every child: it runs
        in an app context, in the child itself, before the child takes its first event. Where it raises, the child
        cannot boot."""
        self.warm_ups.append(function)
        return function

    def defer(
        self,
        event_name: str,
        payload: Any = None,
        *,
        delay: float | timedelta | None = None,
        at: datetime | None = None,
        content_type: str | None = None,
    ) -> str:
        """Defer an event, as `app_adapter.defer` does, from anywhere: outside a Flask context it is the app that the
        extension was given, if that is a single one."""
        return self._state().defer(event_name, payload, delay=delay, at=at, content_type=content_type)

    @contextmanager
    def testing(self) -> Iterator[Recording]:
        """Record what is deferred instead of publishing it, in all threads and in all apps of this extension."""
        before, self.recording = self.recording, Recording()
        try:
            yield self.recording
        finally:
            self.recording = before

    def _state(self) -> "AppState":
        if current_app:
            app = current_app._get_current_object()  # type: ignore[attr-defined]  # typed as the app itself
        else:
            apps = list(self._apps)
            if len(apps) != 1:
                known = "none was given to" if not apps else f"{len(apps)} apps share"
                raise DeferError(
                    f"events.defer() outside a Flask context: {known} this DeferredEvents; "
                    "call it within app.app_context()"
                )
            (app,) = apps
        state = app.extensions.get(EXTENSION)
        if not isinstance(state, AppState) or state.events is not self:
            raise DeferError(f"the app {app.name!r} does not use this DeferredEvents: call init_app(app) first")
        return state


@dataclass(frozen=True, eq=False)
class AppState:
    """What the extension keeps for one app, in `app.extensions["deferred_events"]`."""

    app: Flask
    events: DeferredEvents
    settings: Settings

    @property
    def site_host(self) -> str:
        """The Host of replays: one that the app itself answers to."""
        trusted = self.app.config.get("TRUSTED_HOSTS") or ["localhost"]
        host: str = self.app.config.get("SERVER_NAME") or trusted[0].lstrip(".")
        return host

    @property
    def site(self) -> Site:
        """Where this app's replays go."""
        return Site(self.site_host, self.settings.values.replay_path)

    def defer(
        self,
        event_name: str,
        payload: Any,
        *,
        delay: float | timedelta | None,
        at: datetime | None,
        content_type: str | None,
    ) -> str:
        """Defer an event from this app; see `app_adapter.defer`."""
        now = datetime.now(UTC)
        values = self.settings.values
        event = make_event(
            event_name,
            payload,
            content_type=content_type,
            source=values.source or self.app.name,
            dumps=self.app.json.dumps,
            max_body=values.max_body,
            traceparent=request.headers.get("traceparent") if has_request_context() else None,
            now=now,
        )
        due = due_of(delay, at, now)
        recording = self.events.recording
        if recording is not None:
            queues = route(self.settings.queues(), event.name)
            recording.add(Deferred(event, self.app, self.site, queues, delay, at))
        else:
            publish(self.settings, event, due)
        return event.id


def _any_host(app: Flask) -> dict[str, Any]:
    """Return the rule options by which the replay URL is found, however the app tells its hosts apart."""
    if app.url_map.host_matching:
        return {"host": "<bridge_host>"}
    return {"subdomain": ""} if app.subdomain_matching else {}
