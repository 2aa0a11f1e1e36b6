"""The supervisor: keeps the seats of a pool filled. It boots children, seats, replaces and ends them.

At the start, a child that cannot boot stops the service; later, it is tried again with back-off, and the service stays
up with those that work. What should happen is decided in `seats`, `recycling` and `back_off`; here it is done.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from worker.pool.back_off import LIVED_WELL, BackOff
from worker.pool.child import Child, boot
from worker.pool.control import Ready
from worker.pool.nursery import Nursery
from worker.pool.output import Hear
from worker.pool.process import BootFailed, Execution, Launch, Starter
from worker.pool.recycling import Limits
from worker.pool.seats import Moves, Seats

STOP_GRACE = 5.0
LOOKED_EVERY = 1.0
"""Seconds between two looks at the children's age and memory."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pool should be: children that take requests, spares beside them, whether they are forked from a process
    that has imported the app, and when a child has served long enough."""

    size: int
    spare: int = 0
    preload: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who uses the children, and hears of them.

    `accepts` says why a child that booted later is not of our kind, or None. `ready`: it is warm. `seated`: it takes
    requests from now on. `leave`: it takes none from now on; return when nothing runs in it. `lost`: it has ended, or
    is as good as lost, and how. `gone`: it has ended in good order, and why it left. `trouble`: children fail, and why.
    """

    accepts: Callable[[Ready], str | None]
    ready: Callable[[Child], Awaitable[None]]
    seated: Callable[[Child], None]
    leave: Callable[[Child], Awaitable[None]]
    lost: Callable[[Child, str], None]
    gone: Callable[[Child, str], None]
    trouble: Callable[[str], None]


class Supervisor:
    """The children of one app. `hear` hears each line that one prints."""

    def __init__(self, launch: Launch, plan: Plan, hear: Hear) -> None:
        self._launch = launch
        self._plan = plan
        self._hear = hear
        self.seats: Seats[Child] = Seats(plan.size, plan.spare)
        self._starters = [self._new_starter()]
        self._alive: set[Child] = set()
        self._limits: dict[Child, Limits] = {}
        self._watcher: Watcher | None = None
        self._back_off = BackOff(random.random)
        self._boots: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> list[Child]:
        """Boot a child for every seat and return them. Raise `BootFailed` with the first one's reason where one
        cannot; then none is left."""
        children = await self._boot_all(self._starters[-1])
        self._alive.update(children)
        return children

    async def keep(self, watcher: Watcher) -> None:
        """From now on keep the seats filled, and tell of every child."""
        self._watcher = watcher
        children = list(self._alive)
        for child in children:
            await watcher.ready(child)
        self._take_over(children, "")
        self._begin(self._tasks, self._look())

    async def reload(self) -> list[Child]:
        """Boot new children beside the old ones, let them take all seats at once, and return them; the old ones
        finish what they run. Raise `BootFailed` where one cannot boot; then the old ones go on."""
        assert self._watcher is not None
        starter = self._new_starter()
        children: list[Child] = []
        try:
            children = await self._boot_all(starter)
            for child in children:
                self._check(child)
                await self._watcher.ready(child)
        except BaseException:
            await asyncio.gather(*(self._end(child) for child in children))
            await starter.stop()
            raise
        for task in self._boots:
            task.cancel()
        for old in self._starters:
            old.retire()
        self._starters = [*(old for old in self._starters if not old.over), starter]
        self._alive.update(children)
        self._take_over(children, "reloaded")
        return children

    def resize(self, size: int) -> None:
        """Keep so many seats from now on."""
        self._carry_out(self.seats.resize(size))

    def served(self, child: Child) -> None:
        """Hear that a child has served one more request."""
        child.requests += 1
        if self._back_off.failing:
            self._back_off.well(child.born)
        limit = self._limits[child].requests if child in self._limits else 0
        if limit and child.requests >= limit:
            self._recycle(child)

    def condemn(self, child: Child, why: str) -> None:
        """Fill a child's seat at once; whoever condemns it will end it."""
        if self.seats.holds(child):
            self._lose(child, why)

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """End every child: what still runs has so many seconds. Once more, or before the start, is no harm."""
        tasks = [*self._boots, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._end(child, grace) for child in list(self._alive)))
        starters, self._starters = self._starters, []
        await asyncio.gather(*(starter.stop() for starter in starters))

    def _new_starter(self) -> Starter:
        return Nursery(self._launch, self._hear) if self._plan.preload else Execution(self._launch)

    async def _boot(self, starter: Starter) -> Child:
        return await boot(starter, self._launch.boot_timeout, self._hear)

    async def _boot_all(self, starter: Starter) -> list[Child]:
        booting = [asyncio.create_task(self._boot(starter)) for _ in range(self.seats.size)]
        try:
            return await asyncio.gather(*booting)
        except BaseException:
            for task in booting:
                task.cancel()
            results = await asyncio.gather(*booting, return_exceptions=True)
            await asyncio.gather(*(self._end(child) for child in results if isinstance(child, Child)))
            raise

    def _check(self, child: Child) -> None:
        assert self._watcher is not None
        if why := self._watcher.accepts(child.ready):
            raise BootFailed(why)

    def _take_over(self, children: list[Child], why: str) -> None:
        for child in children:
            self._settle_in(child)
        self._carry_out(self.seats.renew(children, why))

    def _settle_in(self, child: Child) -> None:
        self._limits[child] = self._plan.limits.for_one(random.random())
        self._begin(self._tasks, self._attend(child))

    def _carry_out(self, moves: Moves[Child]) -> None:
        assert self._watcher is not None
        for child in moves.sit:
            self._watcher.seated(child)
        for child in moves.leave:
            self._begin(self._tasks, self._dismiss(child, self.seats.leaving[child]))
        missing = self.seats.missing()
        if self._back_off.failing:
            missing = min(missing, 1 - self.seats.booting)
        for _ in range(missing):
            self.seats.booting += 1
            self._begin(self._boots, self._fill(self._back_off.wait(_now())))

    async def _fill(self, after: float) -> None:
        """Boot one child, `after` so many seconds, for whichever place is free by then."""
        assert self._watcher is not None
        await asyncio.sleep(after)
        child = None
        try:
            child = await self._boot(self._starters[-1])
            self._alive.add(child)
            self._check(child)
            await self._watcher.ready(child)
        except BootFailed as error:
            if child is not None:
                await self._end(child)
            self._back_off.failed(_now())
            self._watcher.trouble(f"{str(error).rstrip()}; tried again in {self._back_off.wait(_now()):.1f} s")
            self.seats.failed()
            self._carry_out(Moves())
        except asyncio.CancelledError:
            if child is not None:
                child.kill()
                self._forget(child)
            raise
        else:
            self._settle_in(child)
            self._carry_out(self.seats.ready(child))

    async def _attend(self, child: Child) -> None:
        """Wait for a child's end, and replace it where it was still needed."""
        how = await child.exited()
        self._forget(child)
        if self.seats.holds(child):
            self._lose(child, how)

    def _lose(self, child: Child, how: str) -> None:
        assert self._watcher is not None
        self._watcher.lost(child, how)
        if not child.requests and child.age < LIVED_WELL:
            self._back_off.failed(_now())
        self._carry_out(self.seats.lost(child, how))

    async def _dismiss(self, child: Child, why: str) -> None:
        """End a child that has lost its seat, when nothing runs in it."""
        assert self._watcher is not None
        await self._watcher.leave(child)
        await self._end(child)
        self._watcher.gone(child, why)
        self._carry_out(self.seats.lost(child, why))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOKED_EVERY)
            for child in list(self.seats.seated()):
                self._recycle(child)
                if child.age >= LIVED_WELL:
                    self._back_off.well(child.born)
            self._carry_out(Moves())

    def _recycle(self, child: Child) -> None:
        why = self._limits[child].reached(child.wear)
        if why is not None:
            self._carry_out(self.seats.due(child, why))

    async def _end(self, child: Child, grace: float = STOP_GRACE) -> None:
        await child.finish(grace)
        self._forget(child)

    def _forget(self, child: Child) -> None:
        self._alive.discard(child)
        self._limits.pop(child, None)
        child.forget()

    def _begin(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def _now() -> float:
    return asyncio.get_running_loop().time()
