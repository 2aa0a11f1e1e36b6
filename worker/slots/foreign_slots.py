"""The slots of a foreign pool, which others run: opened and closed as its servers come and go."""

import asyncio
import random
from collections.abc import Mapping
from itertools import chain, zip_longest
from typing import NoReturn

from bridge.config.foreign_pool import Address
from bridge.console.signals import OPERATOR_SIGNALS, Handlers
from bridge.errors import SettingsError
from bridge.logger import log
from bridge.status import ChildrenStatus
from worker.slots.foreign_slot import SERVER_BACK_OFF, ForeignServer
from worker.slots.slots import Slots


class ForeignPool:
    """Servers that run the same program. `connections` is how many connections each server may have. With `keep`, they
    stay open from one request to the next."""

    def __init__(self, connections: Mapping[Address, int], slots: Slots, *, keep: bool) -> None:
        self._connections = connections
        self._slots = slots
        self._keep = keep
        self._running: asyncio.Task[NoReturn] | None = None

    def signals(self) -> Handlers:
        """Return handlers that ignore SIGHUP, SIGTTIN and SIGTTOU with a warning: they must not end the worker."""
        return Handlers(dict.fromkeys(OPERATOR_SIGNALS, _warn))

    def status(self) -> ChildrenStatus:
        """Return the status, with the highest number of slots. The processes of a foreign pool are not known here."""
        return ChildrenStatus(release=None, children=self._slots.size, booting=0, restarts=0, trouble=None, slots=())

    async def stacks(self, pid: int) -> None:
        """Return None: the processes of a foreign pool are not this worker's children."""

    async def open(self) -> None:
        """Open slots from now on, whenever a server can be reached."""
        self._running = asyncio.create_task(self._run())

    async def broken(self) -> NoReturn:
        """Wait until it is known that no server is a FastCGI Responder, and raise `SettingsError` then. Servers that
        are away may come back."""
        if self._running is None:
            raise RuntimeError("expected open() before broken()")
        await asyncio.shield(self._running)

    async def stop(self) -> None:
        """Open no slot any more; running requests finish. A call before `open`, or a second one, changes nothing."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))

    async def _run(self) -> NoReturn:
        rows = zip_longest(*([ForeignServer(address)] * count for address, count in self._connections.items()))
        servers = [server for server in chain.from_iterable(rows) if server is not None]  # a slot of each in turn
        tasks = [asyncio.create_task(self._keep_open(server)) for server in servers]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        raise SettingsError(
            f"fastcgi.addresses = {', '.join(map(str, self._connections))}: expected FastCGI servers of the "
            "Responder role, and none of these is one"
        )

    async def _keep_open(self, server: ForeignServer) -> None:
        waits = SERVER_BACK_OFF.waits(random.random)
        while await server.reachable():
            slot = server.open(keep=self._keep)
            self._slots.open(slot)
            try:
                await slot.ended()
            finally:
                self._slots.condemn(slot)
                slot.retire()
            if slot.served:
                waits = SERVER_BACK_OFF.waits(random.random)
            await asyncio.sleep(next(waits))


def _warn() -> None:
    log.warning("ignoring a signal to reload or resize the pool: this worker does not run the pool")
