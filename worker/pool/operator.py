"""Carry out an operator's signals to a pool: SIGHUP reloads the app, SIGTTIN adds a child, SIGTTOU removes one."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from bridge.console.service_manager import ServiceManager
from bridge.console.signals import Handlers
from bridge.logger import log
from worker.pool.process import BootFailed
from worker.pool.supervisor import Supervisor


class Operator:
    """Reloads and resizes a pool. `resized` is called with each new size, `trouble` with the reason why a new version
    of the app cannot boot. The service `manager` is told when a reload begins and ends."""

    def __init__(
        self,
        pool: Supervisor,
        resized: Callable[[int], None],
        trouble: Callable[[str], None],
        manager: ServiceManager | None = None,
    ) -> None:
        self._pool = pool
        self._resized = resized
        self._trouble = trouble
        self._manager = manager or ServiceManager()
        self._work: set[asyncio.Task[None]] = set()
        self._reloading: asyncio.Task[None] | None = None

    def signals(self) -> Handlers:
        """Return the handlers of SIGHUP, SIGTTIN and SIGTTOU."""
        return Handlers(
            {
                signal.SIGHUP: self._asked_to_reload,
                signal.SIGTTIN: lambda: self._asked_to_resize(+1),
                signal.SIGTTOU: lambda: self._asked_to_resize(-1),
            }
        )

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in a task, until it is done or `stop` cancels it."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    async def stop(self) -> None:
        """Cancel all work that is not done."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def _asked_to_reload(self) -> None:
        if self._reloading is not None:
            self._reloading.cancel()  # its children may have loaded code that has changed since
        self._manager.reloading()
        self._reloading = self.begin(self._reload())

    def _asked_to_resize(self, more: int) -> None:
        size = max(1, self._pool.seats.size + more)
        self._pool.resize(size)
        log.info("pool size changed by a signal; children: %d", size)
        self._resized(size)

    async def _reload(self) -> None:
        log.info("reload: booting new children; the old ones serve until these are ready")
        before = self._pool.directory
        try:
            children = await self._pool.reload()
        except BootFailed as error:
            self._trouble(str(error))
            log.error("reload: the new version cannot boot; the old children keep serving: %s", error)
            self._manager.ready()
            return
        slowest = max(child.boot_seconds for child in children)
        release = children[0].ready.release
        named = f"release {release}" if release else "the app names no release"
        place = f"{self._pool.directory}{', as before' if self._pool.directory == before else ''}"
        log.info("reload: %d new children took over after %.2f s, %s, from %s", len(children), slowest, named, place)
        self._manager.ready()
