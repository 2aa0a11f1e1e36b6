"""The Flask extension: `DeferredEvents(app)`. `app_state` has what it keeps for each app.

It puts together `listeners` (the functions), `receiver` (a replay in the app) and `fork_safe_publishing` (events
leaving the process).
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from flask import Flask, current_app, got_request_exception, has_app_context

from app_adapter.app_state import AppState
from app_adapter.call import TIMEOUT
from app_adapter.callable_checks import check_callable, name_of
from app_adapter.class_listeners import methods_of
from app_adapter.defer import EXTENSION
from app_adapter.deferral import Deferral
from app_adapter.deferred_models.methods import DeferredModels
from app_adapter.deferring import Given
from app_adapter.fork_safe_publishing import import_spool
from app_adapter.idle import IdleHook, seconds_of
from app_adapter.listeners import F, Listeners
from app_adapter.mailbox import Mailbox
from app_adapter.public_urls import refuse_invented_urls
from app_adapter.receiver import Receiver
from app_adapter.registrations import Registrations
from app_adapter.running_listener import listener_now
from app_adapter.signals import Announcer
from app_adapter.with_sqlalchemy import imported
from bridge.config.environment import PREFIX
from bridge.config.settings import load_settings
from bridge.errors import DeferError
from bridge.watchers.from_settings import named_watchers
from bridge.watchers.notify import Watchers, check

if TYPE_CHECKING:
    from app_adapter.testing import Recording
    from bridge.moments import Watcher

C = TypeVar("C", bound=type)
W = TypeVar("W", bound=Callable[[], object])


class DeferredEvents(DeferredModels):
    """Deferred events for one app or several: `DeferredEvents(app)`, or `DeferredEvents()` and `init_app(app)`.

    `watchers` receive the moments of these apps, after the watchers of the setting `watchers`; see docs/watching.md.
    Raise `TypeError` for a watcher that cannot be called with a moment.
    """

    def __init__(self, app: Flask | None = None, *, watchers: Iterable["Watcher"] = ()) -> None:
        super().__init__()
        self.watchers = tuple(check(watcher) for watcher in watchers)
        self.listeners = Listeners()
        self.recording: Recording | None = None
        self.warm_ups: Registrations[Callable[[], object]] = Registrations()
        self.idles: Registrations[IdleHook] = Registrations()
        self._apps: tuple[weakref.ref[Flask], ...] = ()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read the settings (including the app's config `BRIDGE_*`), add the replay URL and wrap `app.wsgi_app`.

        Raise `SettingsError` for a setting that cannot be used, such as a watcher that cannot be imported. Raise
        `ValueError` if the app has an extension already.
        """
        if EXTENSION in app.extensions:
            raise ValueError(f"the app {app.name!r} has DeferredEvents already")
        settings = load_settings(flask_config={key: app.config[key] for key in app.config if key.startswith(PREFIX)})
        tell = Announcer(app, Watchers((*named_watchers(settings), *self.watchers)))
        listeners = self.listeners.of_new_app()
        receiver = Receiver(app, listeners, settings.values, tell)
        refuse_invented_urls(app)
        app.add_url_rule(
            f"{settings.values.replay_path}/<name>",
            endpoint="bridge_replay",
            view_func=receiver.view(),
            methods=["POST"],
            **_any_host(app),
        )
        got_request_exception.connect(receiver.note_late_error, app)
        app.wsgi_app = receiver  # type: ignore[method-assign]  # Flask's documentation wraps it this way
        app.extensions[EXTENSION] = AppState(
            app,
            self,
            lambda: self.recording,
            settings,
            tell,
            listeners,
            self.warm_ups.begin_app(),
            self.idles.begin_app(),
        )
        self._apps = tuple(weakref.ref(each) for each in (*self._living_apps(), app))
        import_spool(settings)

    def on(
        self,
        *patterns: str,
        priority: int = 0,
        observer: bool = False,
        name: str | None = None,
        retry: Mapping[str, Any] | None = None,
        once: Callable[[], Any] | None = None,
    ) -> Callable[[F], F]:
        """Make the decorated function, plain or async, a listener of the events that match one of the patterns.

        It is called with one `Event`. The listener with the highest `priority` is called first. An `observer` is called
        too, but it does not make an event handled, and its errors do not fail the event. `name` (by default
        `module:function`) identifies the listener across attempts. `retry` is the policy of an event that this listener
        failed: a table as in the settings, such as `{"attempts": 5, "initial": "10s"}`. A factory that is called twice
        may register its inner functions twice: each app calls its own.

        `once` makes a session of SQLAlchemy 2, such as a `sessionmaker` or `db.session` of Flask-SQLAlchemy. The
        listener is called with the event and that session, whose transaction is committed when it returns. What it does
        there is done once, however often the event comes: a repeat is acknowledged without a call. See docs/outbox.md.

        Raise `ValueError` for an invalid pattern, for a table that cannot be used, and for a name that another function
        has. Raise `TypeError` for a function that cannot be called with one event, and for a generator.
        """
        return self.listeners.on(*patterns, priority=priority, observer=observer, name=name, retry=retry, once=once)

    def once(self, session: Any) -> Any:
        """Mark this event as done by this listener, in the session's own transaction: call it first in a listener, and
        commit the session at the end. Of an `AsyncSession`, await what it returns.

        If the mark is there already, raise `AlreadyDone`, which ends the listener; the event counts as done by it.
        Raise `RuntimeError` outside a listener, and for a second call in one transaction.
        """
        call = listener_now.get()
        if call is None:
            raise RuntimeError("events.once() outside a listener: expected a call in a function with @events.on")
        return imported("once").mark_once(session, self._state().settings.values.namespace, call)

    def observe(self, observer: "Watcher") -> None:
        """Tell an observer the moments of all apps of this extension from now on, as if it had been among `watchers`.

        Raise `TypeError` for an observer that cannot be called with a moment.
        """
        self.watchers = (*self.watchers, check(observer))
        for app in self._living_apps():
            app.extensions[EXTENSION].tell.add(observer)

    def register(self, listener_class: C) -> C:
        """Make the methods of a class that `@on` decorates listeners; return the class. Each event that is replayed has
        an instance of its own, made without arguments. A listener's name is `module:Class.method`.

        Raise `TypeError` for anything but such a class, and what `on` raises.
        """
        for name, method, mark in tuple(methods_of(listener_class)):
            self.on(*mark.patterns, name=name, **mark.options)(method)
        return listener_class

    listener = register
    """The same as a decorator: `@events.listener`."""

    def on_warmup(self, function: W) -> W:
        """Call the decorated function, plain or async and without arguments, in the boot of every child.

        It is called in an app context, in the child itself, before the first event. If it raises, the child cannot
        boot. Raise `TypeError` for a function that cannot be called without arguments, and for a generator.
        """
        check_callable(f"warm-up function {name_of(function)!r}", function)
        self.warm_ups.add_nameless(name_of(function), function)
        return function

    def on_idle(self, *, after: float | timedelta = 60) -> Callable[[W], W]:
        """Call the decorated function, plain or async and without arguments, in a child that has had no request for
        `after` seconds: once, and again after the next request.

        It is called in an app context, in the child itself, between two requests. A request that comes meanwhile waits
        for its end. An exception is logged and changes nothing else. Raise `TypeError` for a function that cannot be
        called without arguments, and for a generator; `TypeError` or `ValueError` for an `after` that is no time.
        """
        seconds = seconds_of(after)

        def register(function: W) -> W:
            check_callable(f"idle function {name_of(function)!r}", function)
            self.idles.add_nameless(name_of(function), IdleHook(function, seconds))
            return function

        return register

    def defer(
        self,
        event_name: str,
        payload: Any = None,
        *,
        delay: float | timedelta | str | None = None,
        at: datetime | None = None,
        content_type: str | None = None,
        priority: Literal["high", "normal", "low"] | None = None,
        expires: float | timedelta | str | datetime | None = None,
        retry: Mapping[str, Any] | None = None,
        key: str | None = None,
        within: float | timedelta | str | None = None,
        on_duplicate: Literal["return", "raise"] = "return",
        session: Any = None,
        to: str | None = None,
        job_class: str | None = None,
    ) -> str:
        """Defer an event, as `app_adapter.defer` does. Outside a Flask context the app is the extension's only app.

        Raise `DeferError` outside a Flask context if the extension has no app or several.
        """
        deferral = Deferral(
            event_name,
            payload,
            delay=delay,
            at=at,
            content_type=content_type,
            priority=priority,
            expires=expires,
            retry=retry,
            key=key,
            within=within,
            on_duplicate=on_duplicate,
            to=to,
            job_class=job_class,
        )
        return self._state().defer(deferral, session)

    def call(
        self,
        name: str,
        payload: Any = None,
        *,
        timeout: float | timedelta = TIMEOUT,
        content_type: str | None = None,
    ) -> Any:
        """Call listeners and return their answer, as `app_adapter.call` does. The app is found as in `defer()`."""
        return self._state().call(name, payload, timeout=timeout, content_type=content_type)

    def defer_many(self, events: Iterable[Given], *, session: Any = None) -> list[str]:
        """Defer many events, as `app_adapter.defer_many` does. The app is found as in `defer()`."""
        return self._state().defer_many(events, session)

    def cancel(self, event_id: str, *, why: str = "", running: bool = False) -> None:
        """Cancel an event, as `app_adapter.cancel` does. The app is found as in `defer()`."""
        self._state().cancel(event_id, why=why, running=running)

    def mailbox(self, name: str) -> Mailbox:
        """Return the mailbox of this name, as `app_adapter.mailbox` does. The app is found as in `defer()`."""
        return self._state().mailbox(name)

    @contextmanager
    def testing(self) -> "Iterator[Recording]":
        """Record deferred events instead of publishing them, in all threads and in all apps of this extension.

        The pytest fixture `deferred_events` does the same for the app of the fixture `app`.
        """
        from app_adapter.testing import Recording  # imported here, because no web process needs it

        before, self.recording = self.recording, Recording()
        try:
            yield self.recording
        finally:
            self.recording = before

    def _state(self) -> AppState:
        if has_app_context():  # asked first: the error of a proxy without a context takes longer than all else here
            app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # typed as the app itself
        else:
            app = self._only_app()
        state = app.extensions.get(EXTENSION)
        if not isinstance(state, AppState) or state.events is not self:
            raise DeferError(f"the app {app.name!r} does not use this DeferredEvents: call init_app(app) first")
        return state

    def _living_apps(self) -> list[Flask]:
        return [app for each in self._apps if (app := each()) is not None]

    def _only_app(self) -> Flask:
        apps = self._living_apps()
        if len(apps) != 1:
            known = "no app uses" if not apps else f"{len(apps)} apps use"
            raise DeferError(
                f"events.defer() outside a Flask context: {known} this DeferredEvents; call it within app.app_context()"
            )
        return apps[0]


def _any_host(app: Flask) -> dict[str, Any]:
    """Return the rule options that let the replay URL match on every host, whatever host matching the app uses."""
    if app.url_map.host_matching:
        return {"host": "<bridge_host>"}
    return {"subdomain": ""} if app.subdomain_matching else {}
