"""Events as somebody defers them now, for tests and measurements."""

import os
from datetime import UTC, datetime

from bridge.event import Event, event_id


def new_event(name: str, data: bytes, content_type: str = "application/json") -> Event:
    """Return an event that is deferred at this moment."""
    now = datetime.now(UTC)
    return Event(event_id(now, os.urandom(10)), name, "test", now, content_type, data)
