"""The store of a queue of Sidekiq: takes jobs of the mapped classes out of Redis, and deletes them when their events
are published. All other jobs stay where they are, for Sidekiq's own processes.

Several relays share the work: a job is moved to one of them (`held`).
"""

import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from bridge.config.sidekiq_settings import SidekiqSettings
from bridge.errors import StoreUnavailable
from bridge.publishing.sidekiq.connection import RedisConnection
from bridge.publishing.sidekiq.held import HeldJob, HeldJobs
from bridge.publishing.sidekiq.job import Job, Staying, Wanted, read_job
from bridge.publishing.sidekiq.places import Place, places_of
from bridge.publishing.sidekiq.summary import Found, summary
from bridge.publishing.stores import Key, StoredEvent, Waiting

PAGE, PAGES = 256, 4
"""The jobs that are read at a time, and how often, until one read of the store ends."""
_PAGE_BYTES = 8 * 1024**2
_LARGEST_AT_FIRST = 64 * 1024
_SOON = 0.02
_IDLE_BYTES = 10 * 1024**2
"""Bytes a second of jobs that stay, which are read again and again."""
_NAMED = 200
"""Most kinds of staying jobs that one process names in the log."""
CLOSE_SECONDS = 1.0

log = logging.getLogger("bridge")


class SidekiqStore:
    """One queue of Sidekiq. `most` is the largest job in bytes."""

    def __init__(self, settings: SidekiqSettings, namespace: str, most: int) -> None:
        """Raise `SettingsError` if the password cannot be read."""
        self._connection = RedisConnection(settings.server)
        self._wanted = Wanted(settings.queue, settings.classes, most)
        self._held = HeldJobs(namespace, settings.queue)
        self._places = deque(places_of(settings.queue))
        self._mine: set[int] = set()  # the numbers of the jobs that this process holds
        self._poll = settings.poll.total_seconds()
        self._largest = _LARGEST_AT_FIRST
        self._looked_at = 0  # bytes, by the last read
        self._named: set[str] = set()
        self.name = f"the Sidekiq queue {settings.queue} of {self._connection}"

    @property
    def look_every(self) -> float:
        """The seconds between two looks; fewer while not all jobs have been looked at, more if many stay."""
        unfinished = any(place.passed for place in self._places)
        return max(_SOON if unfinished else self._poll, self._looked_at / _IDLE_BYTES)

    async def read(self, after: int, most: int) -> list[StoredEvent]:
        """Return the next jobs: first those that this process holds already, with those of relays that have ended, then
        those that it takes now."""
        return await self._connection.run(lambda client: self._read(client, after, most))

    async def _read(self, client: object, after: int, most: int) -> list[StoredEvent]:
        self._mine.update(await self._held.renew(client, self._mine, most))
        held = sorted(number for number in self._mine if number > after)[:most]
        found = await self._known(client, held) if held else []
        self._looked_at = 0
        for _ in range(len(self._places)):
            if len(found) >= most:
                break
            found += await self._take(client, self._places[0], most - len(found))
            self._places.rotate(-1)  # the next read begins with the next place, so that none waits for another
        return found

    async def _known(self, client: object, numbers: list[int]) -> list[StoredEvent]:
        """Return the events of held jobs. Those that these settings do not take are put back."""
        jobs = await self._held.get(client, numbers)
        self._mine.difference_update({*numbers} - {job.number for job in jobs})  # another relay has published them
        found, others = self._events(jobs)
        if others:
            await self._held.put_back(client, others)
            self._mine.difference_update(others)
        return found

    async def _take(self, client: object, place: Place, most: int) -> list[StoredEvent]:
        """Take at most `most` jobs out of a place, from where the last read stopped."""
        found: list[StoredEvent] = []
        for _ in range(PAGES):
            size = max(1, min(PAGE, _PAGE_BYTES // self._largest))
            page = await place.page(client, place.passed, size)
            self._looked_at += sum(map(len, page))
            self._largest = max(map(len, page), default=1) or 1
            wanted, stay = self._sorted_out(place, page, most - len(found))
            if wanted:
                taken = await self._held.take(client, place.key, wanted)
                self._mine.update(job.number for job in taken)
                found += self._events(taken)[0]
            if len(page) < size and len(wanted) + stay == len(page):
                place.passed = 0  # the end: the next read begins anew
                break
            place.passed += stay
            if len(found) >= most:
                break
        return found

    def _sorted_out(self, place: Place, page: list[bytes], most: int) -> tuple[list[bytes], int]:
        """Return the first `most` jobs of a page to be taken, and the count of those before the next one that stay."""
        wanted: list[bytes] = []
        stay = 0
        for text in page:
            match read_job(text, self._wanted, in_set=place.in_set):
                case Job() if len(wanted) == most:
                    break
                case Job():
                    wanted.append(text)
                case Staying() as staying:
                    stay += 1
                    self._log(staying, place)
                case None:
                    stay += 1
        return wanted, stay

    def _events(self, jobs: Iterable[HeldJob]) -> tuple[list[StoredEvent], list[int]]:
        """Return the events of jobs, and the numbers of jobs that become none."""
        found, others = [], []
        for job in jobs:
            read = read_job(job.text, self._wanted, in_set=job.score is not None)
            if isinstance(read, Job):
                found.append(read.stored(job.number, job.score))
            else:
                others.append(job.number)
        return found, others

    def _log(self, staying: Staying, place: Place) -> None:
        if staying.what not in self._named and len(self._named) < _NAMED:
            self._named.add(staying.what)
            log.warning("%s: %s stay in %s; %s", self.name, staying.what, place.key, staying.why)

    async def remove(self, keys: Iterable[Key]) -> None:
        """Delete the jobs of these events for good."""
        numbers = [number for number, _ in keys]
        if numbers:
            await self._connection.run(lambda client: self._held.remove(client, numbers))
            self._mine.difference_update(numbers)

    async def waiting(self) -> Waiting:
        """Return what waits in the store."""
        found = await self.found()
        return Waiting(found.events, found.oldest)

    async def found(self) -> Found:
        """Return what waits, and what stays."""
        return await self._connection.run(lambda client: summary(client, self._wanted, self._held))

    def lock(self) -> bool:
        """Return True: several relays share a queue."""
        return True

    def unlock(self) -> None:
        """Do nothing: what this process holds, it reads again. `close` puts it back."""

    async def close(self) -> None:
        """Put back what this process holds, and close the connection. If the server does not answer, another relay
        takes over when the leases have run out."""
        numbers = sorted(self._mine)
        if numbers:
            with suppress(StoreUnavailable):
                await self._connection.run(lambda client: self._held.put_back(client, numbers), CLOSE_SECONDS)
                self._mine.clear()
        await self._connection.close()
