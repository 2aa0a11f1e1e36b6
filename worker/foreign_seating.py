"""Between a pool that others run and the events: what the service uses of it, as `Seating` is for a pool of our own."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from bridge.foreign_pool import ForeignPoolSettings
from bridge.queues import Queue
from bridge.telemetry import log
from worker.consumer import EventConsumer
from worker.foreign_pool import ForeignPool, SlotWatcher
from worker.signals import Handlers


class ForeignSeating:
    """The slots of a pool that others run."""

    def __init__(self, settings: ForeignPoolSettings, events: EventConsumer, queues: Sequence[Queue]) -> None:
        self._pool = ForeignPool(settings.connections_by_address, keep=settings.keep_connection)
        self._size = settings.size
        self._events = events
        self._queues = queues
        self._running: asyncio.Task[NoReturn] | None = None

    def signals(self) -> Handlers:
        """Return handlers of the signals that ask something of a pool of our own: they must not end the worker."""
        return Handlers(dict.fromkeys((signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU), _not_ours))

    def rooms(self) -> Mapping[str, int]:
        """Return how many events of each queue may be in flight."""
        return {queue.name: min(queue.slots or self._size, self._size) for queue in self._queues}

    def status(self) -> Mapping[str, Any]:
        """Return how many slots there may be; what runs behind them is known to those who run the pool."""
        return {"release": None, "children": self._size, "booting": 0, "restarts": 0, "trouble": None, "slots": []}

    async def open(self) -> None:
        """Begin to open slots, as soon as a server is there."""
        self._running = asyncio.create_task(
            self._pool.run(SlotWatcher(self._events.open_slot, self._events.close_slot))
        )

    async def broken(self) -> NoReturn:
        """Wait until no server can be used for ever, and raise `SettingsError` then."""
        if self._running is None:
            raise RuntimeError("the pool is waited for before it is open")
        await asyncio.shield(self._running)

    async def stop(self) -> None:
        """Open no slot any more. What runs goes on."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))


def _not_ours() -> None:
    log.warning("a signal asked for a reload or another size; that is for who runs the pool")
