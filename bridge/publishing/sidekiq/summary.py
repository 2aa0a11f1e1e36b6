"""Counts the jobs in a queue of Sidekiq, for programs that show them: those that become events, and those that stay."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.publishing.sidekiq.held import HeldJobs
from bridge.publishing.sidekiq.job import Job, Staying, Wanted, read_job
from bridge.publishing.sidekiq.places import Place, places_of

LOOK_AT = 10_000
"""Most jobs of each place that are looked at."""
_PAGE = 200
_KINDS = 20
_OTHERS = "other jobs"


@dataclass(frozen=True, slots=True)
class Found:
    """The count of jobs that become events, when the oldest of them got there, and how many of them a relay held that
    has ended; the counts of jobs that stay, by their kind in words, and when the oldest of these got there."""

    events: int = 0
    oldest: datetime | None = None
    abandoned: int = 0
    staying: Mapping[str, int] = field(default_factory=dict)
    stays_since: datetime | None = None


async def summary(client: Any, wanted: Wanted, held: HeldJobs) -> Found:
    """Return what is in the first `LOOK_AT` jobs of each place, and what relays hold. Raise what the client raises."""
    events, abandoned = await held.count(client)
    oldest: datetime | None = None
    stays_since: datetime | None = None
    staying = Counter[str]()
    for place in places_of(wanted.queue):
        async for text in _jobs(client, place):
            match read_job(text, wanted, in_set=place.in_set):
                case Staying(what=what, since=since):
                    staying[what if what in staying or len(staying) < _KINDS else _OTHERS] += 1
                    stays_since = _earlier(stays_since, since)
                case Job(since=since):
                    events += 1
                    oldest = _earlier(oldest, since)
    return Found(events, oldest, abandoned, dict(staying), stays_since)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((each for each in (one, other) if each is not None), default=None)


async def _jobs(client: Any, place: Place) -> AsyncIterator[bytes]:
    for first in range(0, LOOK_AT, _PAGE):
        page = await place.page(client, first, _PAGE)
        for text in page:
            yield text
        if len(page) < _PAGE:
            return
