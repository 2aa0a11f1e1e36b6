"""The children of a pool that stands behind web servers, at the listening socket that they share.

Every child has the socket once it sits, and the kernel gives each connection to one that is free. So a spare can be
warm and take nothing, and a child that has to leave takes nothing more. A child tells by a byte when a request begins,
and when it was served; what it is, nobody here knows.
"""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

from bridge.telemetry import log
from worker.pool.child import Child
from worker.pool.control import Ready
from worker.pool.operator import Operator
from worker.pool.status import pool_status
from worker.pool.supervisor import Supervisor, Watcher

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
        self.operator = Operator(pool, resized=_ignore, trouble=self._note_trouble)

    def watcher(self) -> Watcher:
        """Return what the pool tells of its children."""
        return Watcher(_accepts, self._ready, self._seated, self._leave, _lost, _gone, self._troubled)

    def status(self) -> Mapping[str, Any]:
        """Return what the pool is doing."""
        return {"served": self.served, **pool_status(self._pool.seats, self._running, self._release, self._trouble)}

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
        self._note_trouble(why)
        log.error("a child cannot boot: %s", why)

    def _note_trouble(self, why: str) -> None:
        self._trouble = why


def _ignore(_size: int) -> None:
    """Nobody but the pool counts the children of a front."""


def _lost(child: Child, how: str) -> None:
    log.warning("a child %s; another takes its place", how, extra={"pid": child.pid})


def _gone(child: Child, why: str) -> None:
    log.info("a child has ended: %s", why, extra={"pid": child.pid, "requests": child.requests})


def _accepts(_ready: Ready) -> str | None:
    """Any release of the app may take over."""
    return None
