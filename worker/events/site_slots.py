"""The slots of a queue for the whole site: as many claims, each of which lets its holder run one event at a time.

A claim ends with its holder, so a killed worker's slot is free at once, and there are never more holders than claims.
A new holder waits for a second, in which the children of a killed one end.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.claims import ClaimTaken
from bridge.errors import BridgeError
from bridge.logger import log

TRY_SECONDS = 2.0
"""The mean of the seconds between two tries to get a slot. A worker takes one slot in each try at most, so that several
workers that start together share them."""

SETTLE_SECONDS = 1.0
"""Seconds from the claim of a slot to its use. When a worker is killed, the kernel first releases its claims and then
ends its children, which run on for a moment: 0.2 s were measured on a busy machine."""


class SiteSlots:
    """Gets slots of the queues in `wanted`, each with its number of slots in the whole site, at most `most` for this
    worker. `changed` is called with the queue and how many slots this worker has now."""

    def __init__(
        self, broker: Broker, wanted: Mapping[str, int], most: int, changed: Callable[[str, int], None]
    ) -> None:
        self._broker = broker
        self._wanted = wanted
        self._most = most
        self._changed = changed
        self._held: dict[str, set[int]] = {queue: set() for queue in wanted}
        self._trouble = ""

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Try to get slots, and hold those that this worker got, while the block runs."""
        tasks = {asyncio.create_task(self._get(queue, number)) for queue, number in self._wanted.items()}
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _get(self, queue: str, number: int) -> None:
        holding: dict[asyncio.Task[None], int] = {}
        try:
            while True:
                free = sorted(set(range(number)) - set(holding.values()))
                if free and len(holding) < self._most:
                    slot = random.choice(free)
                    task = asyncio.create_task(self._hold(queue, slot))
                    holding[task] = slot
                    task.add_done_callback(holding.pop)
                await asyncio.sleep(TRY_SECONDS * random.uniform(0.5, 1.5))
        finally:
            for task in tuple(holding):
                task.cancel()
            await asyncio.gather(*holding, return_exceptions=True)

    async def _hold(self, queue: str, slot: int) -> None:
        try:
            async with self._broker.claim(f"slots-{queue}-{slot}") as claim:
                await asyncio.sleep(SETTLE_SECONDS)
                if claim.held:
                    self._note(queue, {*self._held[queue], slot})
                try:
                    await claim.until_lost()
                    log.warning("queue %s: this worker lost one of its slots of the whole site", queue)
                finally:
                    self._note(queue, self._held[queue] - {slot})
        except ClaimTaken:
            return
        except BridgeError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("queue %s: a slot of the whole site cannot be had: %s", queue, error)

    def _note(self, queue: str, held: set[int]) -> None:
        self._held[queue] = held
        self._changed(queue, len(held))
