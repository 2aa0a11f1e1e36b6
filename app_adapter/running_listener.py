"""The listener that runs now, for what it calls: `events.once()` marks it as done with its event."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RunningListener:
    """One call of a listener with an event. `marked` is True once the call has written its mark."""

    event_id: str
    listener: str
    marked: bool = False


listener_now: ContextVar[RunningListener | None] = ContextVar("listener_now", default=None)
"""The call of this context; None outside a listener. Each replay has a context of its own."""
