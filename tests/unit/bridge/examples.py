"""An example event, envelope, attempt and error for tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.attempt import Attempt, Error
from bridge.envelope import Envelope
from bridge.event import Event
from bridge.ledger import Letter, Transcript

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
ERROR = Error("ValueError", "no such account", "Traceback…\nValueError: no such account")


def event(**changes: Any) -> Event:
    """Return the example event with these changes."""
    usual = Event("0190-id", "account.created", "shop", NOW, "application/json", b'{"id":17}', None)
    return usual._replace(**changes)


def envelope(**changes: Any) -> Envelope:
    """Return an envelope without attempts, with these changes."""
    return Envelope(event(), round_began=NOW)._replace(**changes)


def attempt(number: int = 1, **changes: Any) -> Attempt:
    """Return a failed attempt with these changes."""
    usual = Attempt(1, number, NOW + timedelta(seconds=number), 0.25, "Failed", "v1", ERROR)
    return replace(usual, **changes)


def letter(**changes: Any) -> Letter:
    """Return a dead letter with all its parts, with these changes."""
    transcript = Transcript({"REQUEST_METHOD": "POST"}, 500, {"bridge-outcome": "failed"}, "body", "stderr")
    usual = Letter(NOW, "mail", "attempts used up", envelope(spent=1).remember(attempt()), ERROR, transcript)
    return replace(usual, **changes)
