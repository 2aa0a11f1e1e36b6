"""The supervisor: keeps so many children alive. It boots them, tells of each that is ready or lost, and replaces it.

At the start, a child that cannot boot stops the service; later, its place is tried again with back-off, and the
service stays up with those that work.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from worker.pool.child import BootFailed, Child, Launch, Output, boot

STOP_GRACE = 5.0
BACK_OFF_FIRST = 0.5
BACK_OFF_AT_MOST = 30.0


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who hears of the children: `ready` when one can take requests, `lost` when it has ended and how, `trouble` of a
    place that stays empty and why."""

    ready: Callable[[Child], Awaitable[None]]
    lost: Callable[[Child, str], None]
    trouble: Callable[[str], None]


class Supervisor:
    """A fixed number of children. `output` hears each line that one prints."""

    def __init__(self, launch: Launch, size: int, output: Output) -> None:
        self._launch = launch
        self._size = size
        self._output = output
        self._children: set[Child] = set()
        self._places: list[asyncio.Task[None]] = []

    async def start(self) -> list[Child]:
        """Boot all children at once and return them. Raise `BootFailed` with the first one's reason where one cannot;
        then none is left."""
        booting = [asyncio.create_task(boot(self._launch, self._output)) for _ in range(self._size)]
        try:
            children = await asyncio.gather(*booting)
        except BaseException:
            await _abandon(booting)
            raise
        self._children.update(children)
        return children

    def keep(self, watcher: Watcher) -> None:
        """From now on, tell of every child that is ready, and replace every one that is lost."""
        self._places = [asyncio.create_task(self._keep(child, watcher)) for child in self._children]

    async def stop(self) -> None:
        """End every child: what still runs has `STOP_GRACE` seconds. Once more, or before the start, is no harm."""
        for place in self._places:
            place.cancel()
        await asyncio.gather(*self._places, return_exceptions=True)
        self._places.clear()
        children, self._children = self._children, set()
        for child in children:
            child.terminate()
        await asyncio.gather(*(_end(child) for child in children))

    def kill(self) -> None:
        """End every child now."""
        for child in self._children:
            child.kill()

    async def _keep(self, child: Child, watcher: Watcher) -> None:
        while True:
            await watcher.ready(child)
            how = await child.exited()
            self._children.discard(child)
            watcher.lost(child, how)
            child = await self._boot_until_it_works(watcher)
            self._children.add(child)

    async def _boot_until_it_works(self, watcher: Watcher) -> Child:
        wait = BACK_OFF_FIRST
        while True:
            try:
                return await boot(self._launch, self._output)
            except BootFailed as error:
                watcher.trouble(f"{error}; tried again in {wait:.1f} s")
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(wait * 2, BACK_OFF_AT_MOST)


async def _abandon(booting: list[asyncio.Task[Child]]) -> None:
    for task in booting:
        task.cancel()
    for result in await asyncio.gather(*booting, return_exceptions=True):
        if isinstance(result, Child):
            result.kill()
            await result.exited()


async def _end(child: Child) -> None:
    try:
        async with asyncio.timeout(STOP_GRACE):
            await child.exited()
    except TimeoutError:
        child.kill()
        await child.exited()
