"""The slots of the worker's own pool: each seated child is a slot."""

import asyncio
from dataclasses import replace
from typing import NoReturn

from bridge.child_protocol import Ready
from bridge.config.hiding import without_password
from bridge.console.service_manager import ServiceManager
from bridge.console.signals import Handlers
from bridge.logger import log
from bridge.moments import ChildLost, ChildSeated, Tell, tell_nobody
from bridge.status import ChildrenStatus, ProgressStatus, SlotStatus
from worker.pool.child import Child
from worker.pool.client import PoolClient
from worker.pool.operator import Operator
from worker.pool.status import children_status, kind_of
from worker.pool.supervisor import Supervisor
from worker.slots.child_slot import ChildSlot
from worker.slots.depth import Depth
from worker.slots.slots import Slots


class OwnPool:
    """The worker's own pool. It opens a slot for each seated child.

    `agreed` is the report of the first children. Later children must report the same settings. At most `in_flight`
    requests are sent to a child before it has answered.
    """

    def __init__(
        self,
        pool: Supervisor,
        slots: Slots,
        agreed: Ready,
        in_flight: int,
        tell: Tell = tell_nobody,
        manager: ServiceManager | None = None,
    ) -> None:
        self._pool = pool
        self._slots = slots
        self._agreed = agreed
        self._in_flight = in_flight
        self._tell = tell
        self._release = agreed.release
        self._slot_of: dict[Child, ChildSlot] = {}
        self._trouble: str | None = None
        self._stopping = False
        self._operator = Operator(pool, self._resized, self._note_trouble, manager)

    def signals(self) -> Handlers:
        """Return the handlers of SIGHUP, SIGTTIN and SIGTTOU."""
        return self._operator.signals()

    def status(self) -> ChildrenStatus:
        """Return the status of the children and their slots."""
        return children_status(self._pool.seats, self._described, self._release, self._trouble)

    def _described(self, child: Child, slot: SlotStatus) -> SlotStatus:
        own = self._slot_of.get(child)
        if own is None or (first := own.first) is None:
            return slot
        running = first.run.request
        return replace(
            slot,
            event=running.event,
            id=running.id,
            queue=running.queue,
            attempt=running.attempt,
            seconds=round(asyncio.get_running_loop().time() - first.since, 3),
            deadline=first.deadline,
            progress=None if (last := first.progress) is None else ProgressStatus(last.done, last.total, last.note),
        )

    async def stacks(self, pid: int) -> bytes | None:
        """Return the Python stacks of the child with this process id, empty if it does not write them in time; None if
        there is no such child."""
        child = next((each for each in self._slot_of if each.pid == pid), None)
        return None if child is None else await child.stacks()

    def client(self) -> PoolClient:
        """Return the callbacks for the supervisor."""
        return PoolClient(self._refuses, self._ready, self._seated, self._leave, self._lost, self._gone, self._troubled)

    async def open(self) -> None:
        """Open a slot for each child, and for each further child when it is seated."""
        await self._pool.keep(self.client())

    async def broken(self) -> NoReturn:
        """Wait until the start has failed, and raise `BootFailed` then. After the start, the supervisor boots children
        until they work."""
        await self._pool.start_failed()

    async def stop(self) -> None:
        """Cancel a reload that is not done. Children that are lost from now on are not replaced."""
        self._stopping = True
        await self._operator.stop()

    def _resized(self, size: int) -> None:
        self._slots.size = size

    def _refuses(self, ready: Ready) -> str | None:
        for key, agreed in self._agreed.settings.items():
            if ready.settings.get(key) != agreed:
                expected = f"expected {without_password(agreed)!r}, as when the worker started; restart it instead"
                return f"{key} = {without_password(ready.settings.get(key, ''))!r}: {expected}"
        return None

    async def _ready(self, child: Child) -> None:
        self._slot_of[child] = ChildSlot(child, self._pool, Depth(self._in_flight), self._tell)
        self._trouble = None

    def _seated(self, child: Child) -> None:
        self._release = child.ready.release
        self._slots.open(self._slot_of[child])
        self._tell(ChildSeated(child.pid, child.ready.release, child.boot_seconds))

    async def _leave(self, child: Child) -> None:
        await self._slots.vacate(self._slot_of[child])

    def _lost(self, child: Child, how: str) -> None:
        slot = self._slot_of.pop(child)
        self._slots.condemn(slot)
        next_step = "the worker is stopping" if self._stopping else "another child takes its place"
        kind = kind_of(self._pool.seats, child, busy=slot.first is not None)
        log.warning("%s %s; %s", kind, how, next_step, extra={"pid": child.pid})
        ran = slot.broken_by if slot.first is None else slot.first.run.request
        self._tell(ChildLost(child.pid, how, child.requests, None if ran is None else ran.event))

    def _gone(self, child: Child, why: str) -> None:
        del self._slot_of[child]
        log.info("a child ended as planned: %s", why, extra={"pid": child.pid, "requests": child.requests})

    def _troubled(self, why: str) -> None:
        self._note_trouble(why)
        log.error("a child cannot boot: %s", why)

    def _note_trouble(self, why: str) -> None:
        self._trouble = why
