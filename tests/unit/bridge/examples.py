"""An event, an envelope and an error, for tests that need some."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.attempt import Attempt, Error
from bridge.envelope import Envelope
from bridge.event import Event

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
ERROR = Error("ValueError", "no such account", "Traceback…\nValueError: no such account")


def event(**changes: Any) -> Event:
    """An event, as given or as usual."""
    usual = Event("0190-id", "account.created", "shop", NOW, "application/json", b'{"id":17}', None)
    return replace(usual, **changes)


def envelope(**changes: Any) -> Envelope:
    """An envelope that was never tried, as given or as usual."""
    return replace(Envelope(event(), round_began=NOW), **changes)


def attempt(number: int = 1, **changes: Any) -> Attempt:
    """A failed attempt, as given or as usual."""
    usual = Attempt(1, number, NOW + timedelta(seconds=number), 0.25, "Failed", "v1", ERROR)
    return replace(usual, **changes)
