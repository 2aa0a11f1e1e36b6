"""New events, for tests and benchmarks."""

import os
from datetime import UTC, datetime

from bridge.event import Event, event_id


def new_event(name: str, data: bytes, content_type: str = "application/json") -> Event:
    """Return an event with a new id and the current time."""
    now = datetime.now(UTC)
    return Event(event_id(now, os.urandom(10)), name, "test", now, content_type, data)
