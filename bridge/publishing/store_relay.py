"""The relay of one store in a process that stops: it runs as a task, and ends with the batch in flight."""

import asyncio
from typing import Protocol

from bridge.moments import Tell
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.relay import Relay
from bridge.publishing.stores import RelayStore

CLOSE_SECONDS = 5.0
"""Seconds that the batch in flight has to be confirmed when the process stops."""


class ClosableStore(RelayStore, Protocol):
    """A store with connections of its own."""

    async def close(self) -> None:
        """Give back what was read, and close the connections."""


class StoreRelay:
    """Relays one store to a publisher, from `start()` to `close()`."""

    def __init__(self, store: ClosableStore, publisher: LazyPublisher, tell: Tell) -> None:
        self._store = store
        self._relay = Relay(store, publisher, tell)
        self._task: asyncio.Task[None] | None = None
        self.name = store.name
        self.wake = self._relay.wake

    def start(self) -> None:
        """Start to relay."""
        self._task = asyncio.create_task(self._relay.run())

    async def close(self) -> None:
        """Wait for the batch in flight, at most `CLOSE_SECONDS`, and close the store."""
        self._relay.stop()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._store.close()
