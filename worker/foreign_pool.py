"""A pool that others run: so many slots at each of its servers, opened and closed as the servers come and go."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import NoReturn

from bridge.errors import SettingsError
from bridge.foreign_pool import Address
from worker.foreign_slot import ForeignServer
from worker.patience import back_off
from worker.slots import Slot


@dataclass(frozen=True, slots=True)
class SlotWatcher:
    """Who hears of slots: `opened` when a further one may be used, `closed` when it may not any more."""

    opened: Callable[[Slot], None]
    closed: Callable[[Slot], None]


class ForeignPool:
    """Servers that run the same program, each with the number of connections that it may have. With `keep` these stay
    open from one request to the next."""

    def __init__(self, connections: Mapping[Address, int], *, keep: bool) -> None:
        self._connections = connections
        self._keep = keep

    async def run(self, watcher: SlotWatcher) -> NoReturn:
        """Open the slots and keep them open, until cancelled. Raise `SettingsError` where no server is one for us."""
        rows = zip_longest(*([ForeignServer(address)] * count for address, count in self._connections.items()))
        servers = [server for server in chain.from_iterable(rows) if server is not None]  # one of each in turn
        places = [asyncio.create_task(self._keep_open(server, watcher)) for server in servers]
        try:
            await asyncio.gather(*places)
        finally:
            for place in places:
                place.cancel()
            await asyncio.gather(*places, return_exceptions=True)
        raise SettingsError(
            f"fastcgi.addresses = {', '.join(map(str, self._connections))}: expected servers of the Responder role, "
            "and each answered UNKNOWN_ROLE"
        )

    async def _keep_open(self, server: ForeignServer, watcher: SlotWatcher) -> None:
        waits = back_off()
        while await server.reachable():
            slot = server.open(keep=self._keep)
            watcher.opened(slot)
            try:
                await slot.ended()
            finally:
                watcher.closed(slot)
                slot.retire()
            if slot.served:
                waits = back_off()
            await asyncio.sleep(next(waits))
