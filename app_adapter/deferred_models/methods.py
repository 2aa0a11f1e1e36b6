"""The methods of `DeferredEvents` about models of SQLAlchemy: events of their changes, and methods that run later.

SQLAlchemy and the codecs are imported at the first use.
"""

import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from flask import current_app

from app_adapter.callable_checks import check_callable
from app_adapter.defer import EXTENSION, JSON
from app_adapter.deferral import Deferral
from app_adapter.deferred_models.names import word_of
from app_adapter.deferred_signals.methods import DeferredSignals, DeferringApp
from app_adapter.listener_api import Event
from app_adapter.with_sqlalchemy import imported
from bridge.errors import shown
from bridge.topics import METHOD

if TYPE_CHECKING:
    from app_adapter.deferred_models.change import Change
    from app_adapter.deferred_models.method_payloads import MethodPayloads
    from app_adapter.sqlalchemy.method_proxies import Deferred
    from app_adapter.sqlalchemy.methods import Models
    from app_adapter.sqlalchemy.tracking import RecordChange, Tracking

Names = Iterable[Any]
"""Names of attributes, or the attributes of the model themselves."""


class ModelsApp(DeferringApp, Protocol):
    """An app that can defer events with a session, and call."""

    def defer(self, deferral: Deferral, session: Any = None) -> str:
        """Defer an event; return its id."""

    def call(self, name: str, payload: Any, *, timeout: Any, content_type: str | None) -> Any:
        """Call the listeners of a name; return the answer."""

    def defer_in_flush(self, deferrals: Sequence[Deferral], session: Any) -> None:
        """Defer events while the session flushes."""


class DeferredModels(DeferredSignals):
    """The part of `DeferredEvents` about models."""

    @abstractmethod
    def _state(self) -> ModelsApp:
        """Return the app that defers now. Raise `DeferError` if there is none."""

    def track(self, model: type, *operations: str, columns: Names | None = None, name: str | None = None) -> None:
        """Defer an event for each record of a model, or of a subclass, that a session inserts, updates or deletes.

        `operations` are some of "insert", "update" and "delete". The events are `article.inserted`, `article.updated`
        and `article.deleted` for a class `Article`, or with another first word, `name`. They are written into the
        outbox in the transaction of the session. With `columns`, an update of other columns makes no event, and the
        events have these columns alone. `change()` reads an event.

        Raise `TypeError` for what is no mapped class; `ValueError` for an unknown operation or column, and for a model
        that is tracked already with other arguments.
        """
        if not operations:
            raise ValueError(f"track({shown(model)}): expected some of 'insert', 'update' and 'delete'")
        imported("tracking").mapper_of(model)
        chosen = None if columns is None else frozenset(str(getattr(each, "key", each)) for each in columns)
        self._tracking.track(model, operations, chosen, word_of(model, name))

    def change(self, event: Event) -> "Change":
        """Return the change that an event of a tracked model or of a trigger of `bridge-outbox` is about.

        Its values have the types that they had. Raise `ValueError` for another event, and for a value that no codec
        takes.
        """
        from app_adapter.deferred_models.change import read

        self._register_enums()
        app = current_app._get_current_object()  # type: ignore[attr-defined]  # typed as the app itself
        return read(event, self._payloads.codecs, app)

    def methods(
        self, sessions: Callable[[], Any], *, gone: Callable[[type, tuple[Any, ...]], Any] | None = None
    ) -> "Deferred":
        """Return the attribute `deferred` of a model, or of a base of models, by which its methods run in the pool.

        `article.deferred.publish(tweet=False)` defers the method of a record, `Article.deferred.build_feed()` a
        classmethod or staticmethod; `article.deferred(session=s, delay="5m").publish()` passes arguments of `defer()`.
        They return the id of the event. `article.deferred.call.publish()` waits for what the method returns, at most
        for the `timeout` of `deferred.call(timeout=3)`.

        In the pool, the record is loaded by its primary key in a session that `sessions` makes: a `sessionmaker`, an
        `async_sessionmaker`, or `db.session` of Flask-SQLAlchemy. The session is committed when the method returns, and
        rolled back if it raises. If the record is gone, `gone` is called with the model and the primary key; without
        `gone`, the event is rejected.
        """
        check_callable("methods(): sessions", sessions)
        if gone is not None:
            check_callable("methods(): gone", gone, "a model", "a primary key")
        from app_adapter.deferred_models.method_calls import MethodCalls

        loading = imported("methods").Loading(sessions, gone)
        calls = MethodCalls(self._state, self._method_payloads)
        deferred: Deferred = imported("method_proxies").Deferred(self._models, loading, calls.defer, calls.call)
        return deferred

    @cached_property
    def _method_payloads(self) -> "MethodPayloads":
        from app_adapter.deferred_models.method_payloads import MethodPayloads

        return MethodPayloads(self._payloads.codecs)

    @cached_property
    def _models(self) -> "Models":
        """The models with deferred methods. At the first one, the listener of their events is registered."""
        models: Models = imported("methods").Models()
        runs = imported("method_runs").MethodRuns(models, self._method_payloads)
        self.listeners.on(f"{METHOD}*.*", name="events.methods")(runs)
        return models

    @cached_property
    def _tracking(self) -> "Tracking":
        this = weakref.ref(self)

        def defer(session: Any, changes: "Sequence[RecordChange]") -> None:
            if (events := this()) is not None:
                events._defer_changes(session, changes)

        tracking: Tracking = imported("tracking").Tracking(defer, lambda: _concerns(this()))
        return tracking

    def _defer_changes(self, session: Any, changes: "Sequence[RecordChange]") -> None:
        """Defer the changes of a flush."""
        from app_adapter.deferred_models.change import key_of, written

        self._register_enums()
        state = self._state()
        deferrals = [
            Deferral(
                name := each.tracked.event_name,
                written(each.change, self._payloads.codecs, state.app, name),
                content_type=JSON,
                key=key_of(each.tracked.word, each.change.identity),
            )
            for each in changes
        ]
        state.defer_in_flush(deferrals, session)

    def _register_enums(self) -> None:
        """Let the enums of tracked columns travel, as far as the app has no codec of its own for them."""
        if "_tracking" in self.__dict__:
            for kind in self._tracking.enums():
                if not self._payloads.codecs.has(kind):
                    self.codec(kind)


def _concerns(events: object) -> bool:
    """Return False if the current app has another extension than this one. Without a current app, return True."""
    current = current_app.extensions.get(EXTENSION) if current_app else None
    return current is None or current.events is events
