"""The state that the extension keeps for each app: how its events, calls and cancellations leave the process."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import Flask

from app_adapter.calling import Calling
from app_adapter.cancel import Cancelling
from app_adapter.deferral import Deferral
from app_adapter.deferring import Deferring, Given
from app_adapter.idle import IdleHook
from app_adapter.listeners import AppListeners
from app_adapter.mailbox import Mailbox, mailbox_of
from app_adapter.registrations import AppRegistrations
from app_adapter.signals import Announcer
from bridge.config.settings import Settings
from bridge.request import ReplayTarget

if TYPE_CHECKING:
    from app_adapter.testing import Recording


@dataclass(frozen=True, eq=False)
class AppState:
    """The extension's state of one app, in `app.extensions["deferred_events"]`."""

    app: Flask
    events: object
    """The extension, a `DeferredEvents`."""
    recording: Callable[[], "Recording | None"]
    """Returns the recording of a test that is under way."""
    settings: Settings
    tell: Announcer
    listeners: AppListeners
    warm_ups: AppRegistrations[Callable[[], object]]
    idles: AppRegistrations[IdleHook]
    deferring: Deferring = field(init=False)
    """The way of this app's events to the broker."""

    def __post_init__(self) -> None:
        deferring = Deferring(self.app, self.settings, self.tell, self.target, self.recording)
        object.__setattr__(self, "deferring", deferring)

    @property
    def target(self) -> ReplayTarget:
        """The destination of this app's replays. The receiver sets the public URL."""
        return ReplayTarget(self.settings.values.replay_path)

    @property
    def calling(self) -> Calling:
        """The way of this app's calls to the workers."""
        return Calling(self.app, self.settings, self.tell, self.target, is_testing=self.recording() is not None)

    def defer(self, deferral: Deferral, session: Any = None) -> str:
        """Defer an event from this app; see `app_adapter.defer`."""
        return self.deferring.defer(deferral, session)

    def defer_many(self, events: Iterable[Given], session: Any = None) -> list[str]:
        """Defer events from this app; see `app_adapter.defer_many`."""
        return self.deferring.defer_many(events, session)

    def defer_in_flush(self, deferrals: Sequence[Deferral], session: Any) -> None:
        """Defer events of this app while a session flushes; see `Deferring.defer_in_flush`."""
        self.deferring.defer_in_flush(deferrals, session)

    def call(self, name: str, payload: Any, *, timeout: float | timedelta, content_type: str | None) -> Any:
        """Call the listeners of a name; see `app_adapter.call`."""
        return self.calling.call(name, payload, timeout, content_type)

    def cancel(self, event_id: str, *, why: str, running: bool) -> None:
        """Cancel an event of this app; see `app_adapter.cancel`."""
        cancelling = Cancelling(self.app, self.settings, self.tell, self.recording)
        cancelling.cancel(event_id, why=why, running=running)

    def mailbox(self, name: str) -> Mailbox:
        """Return a mailbox for this app; see `app_adapter.mailbox`."""
        return mailbox_of(name, self.settings, self.recording, self.app.name, is_testing=self.app.testing)
