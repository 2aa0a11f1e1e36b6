"""The children of a pool that stands behind web servers, at the listening socket that they share.

Every child has the socket once it sits, and the kernel gives each connection to one that is free. So a spare can be
warm and take nothing, and a child that has to leave takes nothing more. A child tells by a byte when a request begins,
and when it was served; what it is, nobody here knows.
"""

import asyncio
import signal
import socket
from collections.abc import Coroutine, Mapping
from typing import Any

from bridge.telemetry import log
from worker.pool.child import Child
from worker.pool.control import Ready
from worker.pool.process import BootFailed
from worker.pool.status import pool_status
from worker.pool.supervisor import Supervisor, Watcher
from worker.signals import Handlers

SERVED = b"."
_READ_AT_ONCE = 4096


class Front:
    """Gives the listening socket to the children of a pool. Those that leave have `grace` seconds for what they run."""

    def __init__(self, pool: Supervisor, listener: socket.socket, grace: float) -> None:
        self.served = 0
        """How many requests were served, by all children that there ever were."""
        self._begun: dict[Child, float] = {}
        self._release: str | None = None
        self._trouble: str | None = None
        self._pool = pool
        self._listener = listener
        self._grace = grace
        self._work: set[asyncio.Task[None]] = set()
        self._reloading: asyncio.Task[None] | None = None

    def watcher(self) -> Watcher:
        """Return what the pool tells of its children."""
        return Watcher(_accepts, self._ready, self._seated, self._leave, _lost, _gone, self._troubled)

    def status(self) -> Mapping[str, Any]:
        """Return what the pool is doing."""
        return {"served": self.served, **pool_status(self._pool.seats, self._running, self._release, self._trouble)}

    def signals(self) -> Handlers:
        """Return the handlers of SIGHUP, SIGTTIN and SIGTTOU."""
        return Handlers(
            {
                signal.SIGHUP: self._asked_to_reload,
                signal.SIGTTIN: lambda: self._asked_to_resize(+1),
                signal.SIGTTOU: lambda: self._asked_to_resize(-1),
            }
        )

    async def stop(self) -> None:
        """Drop what is asked for and not done."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _ready(self, child: Child) -> None:
        child.socket.setblocking(False)
        asyncio.get_running_loop().add_reader(child.socket, self._hear, child)

    def _seated(self, child: Child) -> None:
        self._release = child.ready.release
        try:
            socket.send_fds(child.socket, [b"L"], [self._listener.fileno()])
        except OSError as error:  # it is lost, as its end will tell
            log.warning("a child could not be given the socket: %s", error, extra={"pid": child.pid})

    async def _leave(self, child: Child) -> None:
        await child.finish(self._grace)

    def _hear(self, child: Child) -> None:
        """Hear what a child tells of its requests."""
        loop = asyncio.get_running_loop()
        try:
            told = child.socket.recv(_READ_AT_ONCE)
        except OSError:
            told = b""
        self._begun.pop(child, None)
        if not told:
            loop.remove_reader(child.socket)
            child.socket.close()
        elif not told.endswith(SERVED):
            self._begun[child] = loop.time()
        served = told.count(SERVED)
        self.served += served
        for _ in range(served):
            self._pool.served(child)

    def _running(self, child: Child) -> Mapping[str, Any]:
        began = self._begun.get(child)
        return {} if began is None else {"seconds": round(asyncio.get_running_loop().time() - began, 3)}

    def _troubled(self, why: str) -> None:
        self._trouble = why
        log.error("a child cannot boot: %s", why)

    def _asked_to_reload(self) -> None:
        if self._reloading is not None:
            self._reloading.cancel()  # what it boots may be older than what is there now
        self._reloading = self._begin(self._reload())

    def _asked_to_resize(self, more: int) -> None:
        size = max(1, self._pool.seats.size + more)
        self._pool.resize(size)
        log.info("children: %d, as asked for by a signal", size)

    async def _reload(self) -> None:
        log.info("reload: new children boot beside the old ones")
        try:
            children = await self._pool.reload()
        except BootFailed as error:
            self._trouble = str(error)
            log.error("reload: the new version cannot boot; the old one goes on: %s", error)
            return
        slowest = max(child.boot_seconds for child in children)
        log.info("reload: %d new children took over after %.2f s", len(children), slowest)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task


def _lost(child: Child, how: str) -> None:
    log.warning("a child %s; another takes its place", how, extra={"pid": child.pid})


def _gone(child: Child, why: str) -> None:
    log.info("a child has ended: %s", why, extra={"pid": child.pid, "requests": child.requests})


def _accepts(_ready: Ready) -> str | None:
    """Any release of the app may take over."""
    return None
