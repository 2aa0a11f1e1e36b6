"""Holds the keys that the broker cannot hold, in the database of one of `[stores]`, beside the outbox there.

An event with a key is written into the outbox in the transaction that takes the key, so that neither is there without
the other. `bridge-relay` publishes it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app_adapter.app_state import AppState
from app_adapter.deferral import Deferral
from app_adapter.with_sqlalchemy import imported
from bridge.config.settings import Settings
from bridge.config.sqlite_url import is_sqlite
from bridge.config.store_settings import outboxes
from bridge.errors import DeferError, NotAllDeferred, SettingsError

if TYPE_CHECKING:
    from app_adapter.sqlalchemy.store_sessions import StoreSessions


@dataclass(frozen=True, slots=True)
class Keys:
    """Defers events, and lets them hold their keys. `sessions` is None if the broker holds them, or nobody."""

    sessions: "StoreSessions | None" = None

    def defer(self, state: AppState, deferral: Deferral) -> str:
        """Defer an event; see `defer()`. Raise `StoreUnavailable` if the database of the keys does not answer."""
        if self.sessions is None or not self.stores(state, [deferral]):
            return state.defer(deferral)
        with self.sessions.session() as session:
            event_id = state.defer(deferral, session)
            session.commit()
        return event_id

    def defer_many(self, state: AppState, deferrals: Sequence[Deferral]) -> list[str]:
        """Defer many events; see `defer_many()`. Raise what `defer` raises."""
        if self.sessions is None or not self.stores(state, deferrals):
            return state.defer_many(deferrals)
        with self.sessions.session() as session:
            try:
                ids = state.defer_many(deferrals, session)
            except NotAllDeferred:  # the others are written
                session.commit()
                raise
            session.commit()
        return ids

    def stores(self, state: AppState, deferrals: Iterable[Deferral]) -> bool:
        """Return whether these events are written into the outbox of the store, since it holds a key of theirs."""
        has_key = any(deferral.within is not None for deferral in deferrals)
        return self.sessions is not None and has_key and state.recording() is None


def keys_of(settings: Settings) -> Keys:
    """Return where the settings let keys be held. Raise `SettingsError` for a store that does not exist or cannot be
    used on this machine."""
    stores = outboxes(settings.values.stores)
    name = settings.values.ingress.store if settings.values.ingress else None
    if name is not None and name not in stores:
        raise SettingsError(
            f"ingress.store = {name!r} (from {settings.origin('ingress')}): expected the name of a table [stores.NAME]"
        )
    if is_sqlite(settings.values.broker_url):
        return Keys()  # SQLite holds keys itself
    chosen = stores.get(name) if name is not None else next(iter(stores.values())) if len(stores) == 1 else None
    if chosen is None:
        return Keys()
    try:
        return Keys(imported("store_sessions").StoreSessions(chosen))
    except DeferError as error:
        raise SettingsError(str(error)) from error
