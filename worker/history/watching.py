"""Follows the history until the events that a person asks for have ended."""

from collections.abc import Callable, Collection, Iterable

from bridge.brokers.contract.logs import Log
from bridge.history import DELIVERED, Entry, entries_of
from bridge.progress_records import ProgressEntry, progress_of
from worker.history.finding import Wanted, attempts_of

QueuesOf = Callable[[str], Collection[str]]
"""Returns the queues that take an event of this name."""


class Watch:
    """What is known of the wanted events: their newest attempt in each queue. Pure."""

    def __init__(self, queues_of: QueuesOf) -> None:
        self._queues_of = queues_of
        self._seen: set[Entry] = set()
        self._newest: dict[tuple[str, str], Entry] = {}

    def add(self, entry: Entry) -> bool:
        """Add an attempt. Return False if it was added before."""
        if entry in self._seen:
            return False
        self._seen.add(entry)
        key = (entry.id, entry.queue)
        if key not in self._newest or self._newest[key].time <= entry.time:
            self._newest[key] = entry
        return True

    def names(self, event_id: str) -> bool:
        """Return whether an attempt of the event with this id is known."""
        return any(event == event_id for event, _ in self._newest)

    @property
    def is_over(self) -> bool:
        """True if an event is known, and each known event has ended in every queue that takes it."""
        names = {entry.id: entry.name for entry in self._newest.values()}
        ended = {key for key, entry in self._newest.items() if entry.is_final}
        expected = {(event, queue) for event, name in names.items() for queue in self._queues_of(name)}
        return bool(names) and (expected | self._newest.keys()) <= ended

    @property
    def all_delivered(self) -> bool:
        """True if each event was delivered in each queue."""
        return all(entry.end == DELIVERED for entry in self._newest.values())


async def watch(log: Log, wanted: Wanted, queues_of: QueuesOf, show: Callable[[Entry | ProgressEntry], None]) -> bool:
    """Show each attempt of the wanted events, those of before first, and the progress of those that run, until the
    events have ended. Return whether all were delivered."""
    state = Watch(queues_of)

    def add(entries: Iterable[Entry]) -> bool:
        for entry in entries:
            if state.add(entry):
                show(entry)
        return state.is_over

    async with log.follow() as records:  # before reading what is there: nothing is missed in between
        if add(await attempts_of(log, wanted)):
            return state.all_delivered
        async for record in records:
            for progress in progress_of(record.content):
                if wanted.names(progress.id) or state.names(progress.id):
                    show(progress)
            if add(each for each in entries_of(record.content) if wanted.names(each.id, each.key)):
                break
    return state.all_delivered
