"""The table `[stores.NAME]` of `bridge.toml` whose `url` is a Redis server: a queue of Sidekiq.

No Redis library is imported here: every program reads the same file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Annotated

from bridge.config.notation import PositiveDuration, SomeText, event_name, text
from bridge.config.reading import mapping
from bridge.config.redis_url import RedisServer, redis_url
from bridge.topics import RESERVED, is_reserved

NEEDS_REDIS = "Sidekiq needs redis-py: pip install 'deferred-event-bridge[sidekiq]'"

MAX_WORD = 200
"""The longest name of a queue or a class in characters."""


def queue_name(value: object) -> str:
    """Read the name of a queue of Sidekiq. Raise `ValueError`."""
    name = text(value)
    if not 0 < len(name) <= MAX_WORD or not name.isprintable() or " " in name:
        raise ValueError(f"expected the name of a Sidekiq queue, of 1 to {MAX_WORD} printable characters")
    return name


def _event_name(value: object) -> str:
    name = event_name(value)
    if is_reserved(name):
        raise ValueError(f"expected a name that does not begin with {RESERVED!r}: those are reserved")
    return name


@dataclass(frozen=True)
class SidekiqSettings:
    """The table `[stores.<name>]` of a queue of Sidekiq. See docs/sidekiq.md."""

    url: Annotated[str, redis_url] = field(repr=False)
    password_file: SomeText | None = None
    """The file with the password of the user in `url`."""
    queue: Annotated[str, queue_name] = "default"
    """The queue whose jobs become events."""
    classes: Annotated[Mapping[str, str], mapping(partial(text, least=1, most=MAX_WORD), _event_name)] = field(
        default_factory=dict
    )
    """The classes whose jobs become events, each with the name of its events. Without one, the queue is not relayed."""
    poll: PositiveDuration = timedelta(seconds=0.2)
    """The time between two looks for new jobs."""

    @property
    def server(self) -> RedisServer:
        """The Redis server of the queue."""
        return RedisServer(self.url, self.password_file)
