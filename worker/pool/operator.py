"""What an operator asks of a pool by signals: SIGHUP new code, SIGTTIN a child more, SIGTTOU a child less."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from bridge.telemetry import log
from worker.pool.process import BootFailed
from worker.pool.supervisor import Supervisor
from worker.signals import Handlers


class Operator:
    """Carries it out. `resized` hears of a new size, `trouble` why a new version cannot boot."""

    def __init__(self, pool: Supervisor, resized: Callable[[int], None], trouble: Callable[[str], None]) -> None:
        self._pool = pool
        self._resized = resized
        self._trouble = trouble
        self._work: set[asyncio.Task[None]] = set()
        self._reloading: asyncio.Task[None] | None = None

    def signals(self) -> Handlers:
        """Return the handlers of the signals."""
        return Handlers(
            {
                signal.SIGHUP: self._asked_to_reload,
                signal.SIGTTIN: lambda: self._asked_to_resize(+1),
                signal.SIGTTOU: lambda: self._asked_to_resize(-1),
            }
        )

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do this beside, until it is done or `stop` drops it."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    async def stop(self) -> None:
        """Drop what is asked for and not done."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def _asked_to_reload(self) -> None:
        if self._reloading is not None:
            self._reloading.cancel()  # what it boots may be older than what is there now
        self._reloading = self.begin(self._reload())

    def _asked_to_resize(self, more: int) -> None:
        size = max(1, self._pool.seats.size + more)
        self._pool.resize(size)
        log.info("children: %d, as asked for by a signal", size)
        self._resized(size)

    async def _reload(self) -> None:
        log.info("reload: new children boot beside the old ones")
        try:
            children = await self._pool.reload()
        except BootFailed as error:
            self._trouble(str(error))
            log.error("reload: the new version cannot boot; the old one goes on: %s", error)
            return
        slowest = max(child.boot_seconds for child in children)
        release = children[0].ready.release
        named = f"release {release}" if release else "no release is named"
        log.info("reload: %d new children took over after %.2f s, %s", len(children), slowest, named)
