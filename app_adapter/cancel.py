"""`cancel()`: end an event that has not begun. `fork_safe_publishing` carries the cancellation."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Flask

from app_adapter.defer import state_of_app
from app_adapter.fork_safe_publishing import cancel as cancel_at_broker
from bridge.config.settings import Settings
from bridge.errors import DeferError, shown
from bridge.event import plain_id

if TYPE_CHECKING:
    from app_adapter.testing import Recording
    from bridge.moments import Tell


def cancel(event_id: str, *, why: str = "", running: bool = False) -> None:
    """Cancel an event from within a Flask request or app context, by the id that `defer()` returned.

    An event that has not begun does not begin any more. When its turn comes, it becomes a dead letter with the reason
    "cancelled" and `why`. If it runs, it is left alone, or with `running` its process is killed as at a timeout. If it
    has ended, nothing changes. A cancellation is known for 30 days. If the site has a `ledger_key`, the app needs it:
    workers ignore a cancellation that is not signed.

    Return within `publish_timeout`, or raise `DeferUnavailable` or `DeferForbidden` (the event is not cancelled),
    `DeferUnconfirmed` (it may be), or `DeferError` for an argument that cannot be used, and outside an app.
    """
    state_of_app().cancel(event_id, why=why, running=running)


@dataclass(frozen=True, slots=True)
class Cancelling:
    """The cancellations of one app. `recording` returns the recording of a test, None without one."""

    app: Flask
    settings: Settings
    tell: "Tell"
    recording: "Callable[[], Recording | None]"

    def cancel(self, event_id: str, *, why: str, running: bool) -> None:
        """Cancel an event; see `app_adapter.cancel`."""
        from bridge.cancellations import Cancellation  # imported here, because few web processes need it

        if not isinstance(event_id, str) or plain_id(event_id) != event_id:
            raise DeferError(f"event_id={shown(event_id)}: expected an id, as defer() returns it")
        if not isinstance(why, str):
            raise DeferError(f"why={shown(why)}: expected a text")
        recording = self.recording()
        if recording is not None:
            recording.cancel(event_id)
        elif self.app.testing:
            raise DeferError(
                f"the app {self.app.name!r} has TESTING set, so no broker is told that {event_id} is cancelled. Cancel "
                "it in a `with events.testing() as deferred:` block; a test that needs the broker sets "
                "app.testing = False"
            )
        else:
            who = f"the app {self.app.name}"
            cancellation = Cancellation(event_id, bool(running), who, why, datetime.now(UTC))
            signed = cancellation.signed(self.settings.values.namespace, self.settings.ledger_keys())
            cancel_at_broker(self.settings, signed, self.tell)
