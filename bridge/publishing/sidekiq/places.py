"""The places of Sidekiq's jobs: the list of a queue, and the sorted sets of all queues."""

from typing import Any

SETS = ("schedule", "retry")
"""Jobs that are due later, and failed jobs that are tried again, with the time as their score. The jobs in `dead`
have failed for good, and stay there."""


class Place:
    """One place. `passed` counts the jobs at its beginning that were looked at and stay."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.in_set = key in SETS
        self.passed = 0

    async def page(self, client: Any, first: int, size: int) -> list[bytes]:
        """Return `size` jobs, without the `first` ones, in the order in which Sidekiq takes them."""
        if self.in_set:
            jobs: list[bytes] = await client.zrange(self.key, first, first + size - 1)
            return jobs
        found: list[bytes] = await client.lrange(self.key, -first - size, -first - 1)
        return found[::-1]


def places_of(queue: str) -> list[Place]:
    """Return the places in which jobs of a queue wait."""
    return [Place(f"queue:{queue}"), *map(Place, SETS)]
