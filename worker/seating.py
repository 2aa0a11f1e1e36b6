"""Between the pool and the events: a child that sits is a slot."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from bridge.notation import without_password
from bridge.queues import Queue
from bridge.telemetry import log
from worker.child_slot import ChildSlot, open_slot
from worker.consumer import EventConsumer
from worker.pool.child import Child
from worker.pool.control import Ready
from worker.pool.operator import Operator
from worker.pool.status import pool_status
from worker.pool.supervisor import Supervisor, Watcher
from worker.signals import Handlers
from worker.status import event_of


class Seating:
    """The slots of a pool's children. `agreed` is what the first children said; all that follow must say the same."""

    def __init__(self, pool: Supervisor, events: EventConsumer, queues: Sequence[Queue], agreed: Ready) -> None:
        self._release = agreed.release
        self._slots: dict[Child, ChildSlot] = {}
        self._trouble: str | None = None
        self._stopping = False
        self._pool = pool
        self._events = events
        self._queues = queues
        self._agreed = agreed
        self._operator = Operator(pool, self._resized, self._note_trouble)

    def signals(self) -> Handlers:
        """Return the handlers of SIGHUP, SIGTTIN and SIGTTOU."""
        return self._operator.signals()

    def rooms(self) -> Mapping[str, int]:
        """Return how many events of each queue may be in flight."""
        size = self._pool.seats.size
        return {queue.name: min(queue.slots or size, size) for queue in self._queues}

    def status(self) -> Mapping[str, Any]:
        """Return what the pool and its slots are doing."""
        return pool_status(self._pool.seats, self._event_in, self._release, self._trouble)

    def _event_in(self, child: Child) -> Mapping[str, Any]:
        return event_of(self._slots.get(child))

    def watcher(self) -> Watcher:
        """Return what the pool tells of its children."""
        return Watcher(self._accepts, self._ready, self._seated, self._leave, self._lost, self._gone, self._troubled)

    async def open(self) -> None:
        """Open a slot for each child, and from now on for each that comes."""
        await self._pool.keep(self.watcher())

    async def broken(self) -> NoReturn:
        """Wait for ever: a pool of our own is booted again until it works."""
        await asyncio.Event().wait()
        raise AssertionError

    async def stop(self) -> None:
        """Drop what is asked for and not done."""
        self._stopping = True
        await self._operator.stop()

    def _resized(self, size: int) -> None:
        self._operator.begin(self._events.resize(self.rooms(), size))

    def _accepts(self, ready: Ready) -> str | None:
        theirs = {**ready.settings, "host": ready.host}
        for key, ours in {**self._agreed.settings, "host": self._agreed.host}.items():
            if theirs.get(key) != ours:
                said = without_password(theirs.get(key, ""))
                expected = f"expected {without_password(ours)!r}, as when the worker started; restart it instead"
                return f"{key} = {said!r}: {expected}"
        return None

    async def _ready(self, child: Child) -> None:
        self._slots[child] = await open_slot(child, self._pool)
        self._trouble = None

    def _seated(self, child: Child) -> None:
        self._release = child.ready.release
        self._events.open_slot(self._slots[child])

    async def _leave(self, child: Child) -> None:
        await self._events.vacate_slot(self._slots[child])

    def _lost(self, child: Child, how: str) -> None:
        self._events.close_slot(self._slots.pop(child))
        then = "it was running an event" if self._stopping else "another takes its place"
        log.warning("a child %s; %s", how, then, extra={"pid": child.pid})

    def _gone(self, child: Child, why: str) -> None:
        del self._slots[child]
        log.info("a child has ended: %s", why, extra={"pid": child.pid, "requests": child.requests})

    def _troubled(self, why: str) -> None:
        self._note_trouble(why)
        log.error("a child cannot boot: %s", why)

    def _note_trouble(self, why: str) -> None:
        self._trouble = why
