"""The supervisor keeps the seats of a pool filled: it boots, seats, replaces and ends children.

If a child cannot boot at the start, or all children end before their first request, the service stops. Later, the boot
is tried again with back-off, and the service continues with the children that work. `seats`, `recycling`,
`boot_back_off` and `start` decide; the supervisor acts.
"""

import asyncio
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn

from bridge.console.process_ending import KILLED
from worker.pool.boot_back_off import LIVED_WELL, BootBackOff
from worker.pool.child import Child, boot
from worker.pool.client import PoolClient
from worker.pool.nursery import Nursery
from worker.pool.output import OnPrinted
from worker.pool.plan import PoolPlan
from worker.pool.process import BootFailed, Execution, Launch, Starter
from worker.pool.recycling import RecyclingLimits
from worker.pool.seats import Moves, Seats
from worker.pool.start import Start

STOP_GRACE = 5.0
EXIT_SEEN_WITHIN = 2.0
"""Seconds within which a child's exit status follows the end of its connection, if the child ended by itself."""

CLEAN_UP_WITHIN = 1.0
"""Seconds between SIGTERM and SIGKILL for a child that serves no request any more."""

LOOKED_EVERY = 1.0
"""Seconds between two checks of the children's age and memory."""


class Supervisor:
    """The children of one app. `on_printed` is called for each record that a child prints."""

    def __init__(self, launch: Launch, plan: PoolPlan, on_printed: OnPrinted) -> None:
        self._launch = launch
        self._plan = plan
        self._on_printed = on_printed
        self.seats: Seats[Child] = Seats(plan.size, plan.spare)
        self._starters = [self._new_starter()]
        self._alive: set[Child] = set()
        self._limits: dict[Child, RecyclingLimits] = {}
        self._client: PoolClient | None = None
        self._back_off = BootBackOff(random.random)
        self._start = Start[Child]()
        self._start_failed = asyncio.Event()
        self._stopping = False
        self._boots: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> list[Child]:
        """Boot a child for every seat and return the children. If a child cannot boot, end all of them and raise
        `BootFailed` with its reason."""
        children = await self._boot_all(self._starters[-1])
        self._alive.update(children)
        return children

    async def keep(self, client: PoolClient) -> None:
        """Keep the seats filled from now on, and call the client for every change."""
        self._client = client
        children = list(self._alive)
        self._start.began(children)
        for child in children:
            await client.ready(child)
        self._take_over(children, "")
        self._begin(self._tasks, self._look())

    async def reload(self) -> list[Child]:
        """Boot new children while the old ones serve, give them all seats at once, and return them; the old ones finish
        their requests. Raise `BootFailed` if a new child cannot boot; the old children keep serving then."""
        assert self._client is not None
        starter = self._new_starter()
        children: list[Child] = []
        try:
            children = await self._boot_all(starter)
            for child in children:
                self._check(child)
                await self._client.ready(child)
        except BaseException:
            await asyncio.gather(*(self._end(child) for child in children))
            await starter.stop()
            raise
        for task in self._boots:
            task.cancel()
        for old in self._starters:
            old.retire()
        self._starters = [*(old for old in self._starters if not old.over), starter]
        self._start.succeeded()
        self._alive.update(children)
        self._take_over(children, "reloaded")
        return children

    @property
    def directory(self) -> Path:
        """The directory that the children of the present version have started in."""
        return self._starters[-1].directory

    async def start_failed(self) -> NoReturn:
        """Wait without limit while the start may succeed or has succeeded. Raise `BootFailed` if all first children
        have ended before their first request."""
        await self._start_failed.wait()
        raise BootFailed(f"every child ended before its first request; the last one {self._start.failed}")

    def resize(self, size: int) -> None:
        """Change the number of seats to `size`."""
        self._carry_out(self.seats.resize(size))

    def served(self, child: Child, requests: int = 1) -> None:
        """Count further requests that a child has served."""
        child.requests += requests
        self._start.succeeded()
        if self._back_off.failing:
            self._back_off.well(child.born)
        limit = self._limits[child].requests if child in self._limits else 0
        if limit and child.requests >= limit:
            self._recycle(child)

    def condemn(self, child: Child, why: str) -> None:
        """Fill a child's seat at once. The caller ends the child."""
        if self.seats.holds(child):
            self._lose(child, why)

    def cut_off(self, child: Child) -> None:
        """Replace a child whose connection has ended. It serves no request any more, but its process may live on, for
        instance in a thread of the app."""
        if self.seats.holds(child) and not self._stopping:
            self._begin(self._tasks, self._replace_cut_off(child))

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """End every child; running requests have `grace` seconds to finish. A call before `start`, or a second one,
        changes nothing."""
        self._stopping = True
        tasks = [*self._boots, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._end(child, grace) for child in list(self._alive)))
        starters, self._starters = self._starters, []
        await asyncio.gather(*(starter.stop() for starter in starters))

    def _new_starter(self) -> Starter:
        launch = self._launch.of_this_version()
        return Nursery(launch, self._on_printed) if self._plan.preload else Execution(launch)

    async def _boot(self, starter: Starter) -> Child:
        return await boot(starter, self._launch.boot_timeout, self._on_printed)

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
        assert self._client is not None
        if why := self._client.refuses(child.ready):
            raise BootFailed(why)

    def _take_over(self, children: list[Child], why: str) -> None:
        for child in children:
            self._settle_in(child)
        self._carry_out(self.seats.renew(children, why))

    def _settle_in(self, child: Child) -> None:
        self._limits[child] = self._plan.limits.for_one(random.random())
        self._begin(self._tasks, self._attend(child))

    def _carry_out(self, moves: Moves[Child]) -> None:
        assert self._client is not None
        for child in moves.sit:
            self._client.seated(child)
        for child in moves.leave:
            self._begin(self._tasks, self._dismiss(child, self.seats.leaving[child]))
        missing = self.seats.missing()
        if self._back_off.failing:
            missing = min(missing, 1 - self.seats.booting)
        for _ in range(missing):
            self.seats.booting += 1
            self._begin(self._boots, self._fill(self._back_off.wait(_now())))

    async def _fill(self, after: float) -> None:
        """Boot one child `after` this many seconds, for any seat that is free by then."""
        assert self._client is not None
        await asyncio.sleep(after)
        child = None
        try:
            child = await self._boot(self._starters[-1])
            self._alive.add(child)
            self._check(child)
            await self._client.ready(child)
        except BootFailed as error:
            if child is not None:
                await self._end(child)
            self._back_off.failed(_now())
            self._client.trouble(f"{str(error).rstrip()}; tried again in {self._back_off.wait(_now()):.1f} s")
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
        """Wait for a child's end, and replace the child if it was still needed."""
        how = await child.exited()
        self._forget(child)
        if self.seats.holds(child):
            self._lose(child, how)

    def _lose(self, child: Child, how: str) -> None:
        assert self._client is not None
        self._client.lost(child, how)
        if self._start.lost(child, how, excused=child.used or how == KILLED):
            self._start_failed.set()
        if not child.requests and child.age < LIVED_WELL:
            self._back_off.failed(_now())
        self._carry_out(self.seats.lost(child, how))

    async def _replace_cut_off(self, child: Child) -> None:
        try:
            async with asyncio.timeout(EXIT_SEEN_WITHIN):
                await child.exited()
        except TimeoutError:
            self.condemn(child, "closed its connection, although its process lives")
            await child.destroy(CLEAN_UP_WITHIN)

    async def _dismiss(self, child: Child, why: str) -> None:
        """End a child that has lost its seat, once no request runs in it."""
        assert self._client is not None
        await self._client.leave(child)
        await self._end(child)
        self._client.gone(child, why)
        self._carry_out(self.seats.lost(child, why))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOKED_EVERY)
            for child in list(self.seats.seated()):
                self._recycle(child)
                if child.age >= LIVED_WELL:
                    self._start.succeeded()
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
