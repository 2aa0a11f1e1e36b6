"""The relay of one outbox, with the connections that it needs, and the end of old marks."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from bridge.config.store_settings import StoreSettings
from bridge.errors import StoreUnavailable
from bridge.moments import Tell
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.outbox.database import Database
from bridge.publishing.outbox.marks import prune, prune_keys
from bridge.publishing.outbox.store import OutboxStore
from bridge.publishing.outbox.tables import tables
from bridge.publishing.store_relay import StoreRelay

PRUNE_SECONDS = 3600.0


class OutboxRelay:
    """Relays one outbox to a publisher, from `start()` to `close()`, and deletes marks older than `keep_marks`."""

    def __init__(self, settings: StoreSettings, namespace: str, publisher: LazyPublisher, tell: Tell) -> None:
        """Raise `SettingsError` if the driver of the database is not installed, or the password
        cannot be read."""
        self._tables = tables(namespace)
        self._keep_marks = settings.keep_marks
        url = settings.url_with_password()
        self._pruning = Database(url)
        self.store = OutboxStore(Database(url), self._tables, settings.poll)
        self._relay = StoreRelay(self.store, publisher, tell)
        self.store.wake_up.wake = self._relay.wake
        self._task: asyncio.Task[None] | None = None
        self.name = self.store.name

    def start(self) -> None:
        """Start to relay."""
        self._relay.start()
        self._task = asyncio.create_task(self._prune())

    async def close(self) -> None:
        """Wait for the batch in flight, at most `store_relay.CLOSE_SECONDS`, and close the connections."""
        if self._task is not None:
            self._task.cancel()
        await self._relay.close()
        if self._task is not None:
            await asyncio.wait({self._task})
        await self._pruning.close()

    async def _prune(self) -> None:
        while True:
            with suppress(StoreUnavailable):  # the relay reports that
                before = datetime.now(UTC) - self._keep_marks
                while await self._pruning.run(partial(prune, self._tables, before)):
                    pass
                await self._pruning.run(partial(prune_keys, self._tables))
                await self._pruning.close()
            await asyncio.sleep(PRUNE_SECONDS)
