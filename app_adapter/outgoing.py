"""An event that is about to be published, with what only its publishing needs."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.config.redis_url import RedisServer
from bridge.event import Event


@dataclass(frozen=True, slots=True)
class Outgoing:
    """`due` is the earliest time of the first attempt, None for now. `within` is how long the event holds its key.
    `sidekiq` is the Redis server to which the event goes as a job of Sidekiq; None: it goes to the site's broker."""

    event: Event
    due: datetime | None = None
    within: timedelta | None = None
    sidekiq: RedisServer | None = None
