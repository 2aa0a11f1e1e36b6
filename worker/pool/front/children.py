"""The children of a pool behind web servers, which share one listening socket.

A child gets the socket when it is seated, and the kernel gives each connection to a free child. So a warm spare takes
no requests, and a child that leaves takes no more. A child sends a byte over its leash when it waits for a request's
bytes, when the request begins and when it was served (`bridge.child_protocol`). The pool does not see the requests
themselves.
"""

import asyncio
import socket
from dataclasses import replace
from typing import Literal

from bridge.child_protocol import Listen, Ready, read_leash, write_listen
from bridge.console.service_manager import ServiceManager
from bridge.logger import log
from bridge.moments import ChildLost, ChildSeated, Tell, tell_nobody
from bridge.status import ChildrenStatus, SlotStatus
from worker.pool.child import Child
from worker.pool.client import PoolClient
from worker.pool.operator import Operator
from worker.pool.status import children_status, kind_of
from worker.pool.supervisor import Supervisor

_READ_AT_ONCE = 4096

PAUSE = 0.01
"""Seconds after a read from a leash in which the pool does not look at it. A busy child sends two bytes for each
request, and a wake-up for each of them would cost more than it tells."""


class FrontChildren:
    """Gives the listening socket to the children of a pool, with the `order` how to use it. A child that leaves has
    `grace` seconds to finish its request."""

    def __init__(
        self,
        pool: Supervisor,
        listener: socket.socket,
        order: Listen,
        grace: float,
        tell: Tell = tell_nobody,
        manager: ServiceManager | None = None,
    ) -> None:
        self.served = 0
        """The number of requests that all children together have served since the start."""
        self._doing: dict[Child, Literal["reading", "busy"]] = {}
        self._since: dict[Child, float] = {}
        self._release: str | None = None
        self._trouble: str | None = None
        self._pool = pool
        self._listener = listener
        self._order = write_listen(order)
        self._grace = grace
        self._tell = tell
        self.operator = Operator(pool, resized=_ignore, trouble=self._note_trouble, manager=manager)

    def client(self) -> PoolClient:
        """Return the callbacks for the pool."""
        return PoolClient(_any_fits, self._ready, self._seated, self._leave, self._lost, _gone, self._troubled)

    def status(self) -> ChildrenStatus:
        """Return the status of the children and their slots."""
        return children_status(self._pool.seats, self._described, self._release, self._trouble)

    async def _ready(self, child: Child) -> None:
        child.socket.setblocking(False)
        self._look(child)

    def _seated(self, child: Child) -> None:
        self._release = child.ready.release
        try:
            socket.send_fds(child.socket, [self._order], [self._listener.fileno()])
        except OSError as error:  # the child has ended, and its exit is noticed next
            log.warning("a child did not take the listening socket: %s", error, extra={"pid": child.pid})
        self._tell(ChildSeated(child.pid, child.ready.release, child.boot_seconds))

    def _lost(self, child: Child, how: str) -> None:
        if child.socket.fileno() >= 0:
            self._receive(child)  # what the child told before its end
        kind = kind_of(self._pool.seats, child, busy=child in self._doing)
        log.warning("%s %s; another child takes its place", kind, how, extra={"pid": child.pid})
        self._forget(child)
        self._tell(ChildLost(child.pid, how, child.requests))

    async def _leave(self, child: Child) -> None:
        await child.finish(self._grace)
        if child.socket.fileno() >= 0:
            self._receive(child)  # the requests that it has served at its end

    def _look(self, child: Child) -> None:
        """Read from the leash of a child as soon as it has told something."""
        if child.socket.fileno() >= 0:
            asyncio.get_running_loop().add_reader(child.socket, self._receive, child)

    def _receive(self, child: Child) -> None:
        """Read from the leash of a child which requests it has begun and served."""
        loop = asyncio.get_running_loop()
        try:
            data = child.socket.recv(_READ_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(child.socket)
            child.socket.close()
            self._pool.cut_off(child)
            return
        loop.remove_reader(child.socket)
        loop.call_later(PAUSE, self._look, child)
        served, doing = read_leash(data)
        child.used = child.used or served > 0 or doing == "busy"
        if served or doing == "idle":
            self._forget(child)
        if doing != "idle":
            self._doing[child] = doing
            self._since.setdefault(child, loop.time())
        self.served += served
        for _ in range(served):
            self._pool.served(child)

    def _forget(self, child: Child) -> None:
        self._doing.pop(child, None)
        self._since.pop(child, None)

    def _described(self, child: Child, slot: SlotStatus) -> SlotStatus:
        doing = self._doing.get(child)
        if doing is None:
            return slot
        state = "reading" if doing == "reading" and slot.state == "idle" else slot.state
        return replace(slot, state=state, seconds=round(asyncio.get_running_loop().time() - self._since[child], 3))

    def _troubled(self, why: str) -> None:
        self._note_trouble(why)
        log.error("a child cannot boot: %s", why)

    def _note_trouble(self, why: str) -> None:
        self._trouble = why


def _ignore(_size: int) -> None:
    """Do nothing: only the pool itself counts its children."""


def _gone(child: Child, why: str) -> None:
    log.info("a child ended as planned: %s", why, extra={"pid": child.pid, "requests": child.requests})


def _any_fits(_ready: Ready) -> str | None:
    """Refuse no child: any version of the app may take over."""
    return None
