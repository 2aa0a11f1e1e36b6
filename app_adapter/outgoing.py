"""An event that is about to be published, with what only its publishing needs."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.event import Event


@dataclass(frozen=True, slots=True)
class Outgoing:
    """`due` is the earliest time of the first attempt, None for now. `within` is how long the event holds its key."""

    event: Event
    due: datetime | None = None
    within: timedelta | None = None
