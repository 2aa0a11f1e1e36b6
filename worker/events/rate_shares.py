"""Finds out how many workers share the rate of a queue: each tells the others by a beat that it is there."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from bridge.brokers.contract.broadcast import Broadcast
from bridge.brokers.contract.findings import counted
from bridge.errors import BridgeError, BrokerUnavailable
from bridge.logger import log
from bridge.logs import Content
from bridge.rates import BEAT_SECONDS, Sharers

SUBJECT = "rates"
_AGAIN_SECONDS = 5.0

Share = Callable[[str, int | None, float], None]


class RateShares:
    """Keeps the shares of these queues: `share` is called with each queue, the number of its workers (None: not known)
    and the time."""

    def __init__(self, broadcast: Broadcast, queues: frozenset[str], share: Share) -> None:
        self._broadcast = broadcast
        self._queues = queues
        self._share = share
        self._own = secrets.token_hex(8)
        self._sharers = Sharers(self._own)
        self._counts: dict[str, int | None] = dict.fromkeys(queues)
        self._trouble = ""

    async def run(self) -> NoReturn:
        """Beat and listen until cancelled; then say goodbye."""
        try:
            while True:
                try:
                    async with self._broadcast.listen(self._hear):
                        await self._beat()
                except BridgeError as error:
                    self._report(error)
                    await asyncio.sleep(_AGAIN_SECONDS)
        finally:
            with suppress(BridgeError, TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._broadcast.tell({"worker": self._own, "goodbye": True})

    async def _beat(self) -> NoReturn:
        content = {"worker": self._own, "queues": sorted(self._queues)}
        while True:
            with suppress(BrokerUnavailable):  # then no events come either
                await self._broadcast.tell(content)
            self._look()
            await asyncio.sleep(BEAT_SECONDS)

    async def _hear(self, content: Content) -> None:
        match content:
            case {"worker": str(worker), "goodbye": True}:
                self._sharers = self._sharers.after_goodbye(worker)
            case {"worker": str(worker), "queues": list(queues)}:
                named = frozenset(each for each in queues if isinstance(each, str))
                self._sharers = self._sharers.after_beat(worker, named, self._now())
        self._look()

    def _look(self) -> None:
        now = self._now()
        counts = {queue: self._sharers.count(queue, now) for queue in self._queues}
        for queue, count in counts.items():
            if count != self._counts[queue]:
                self._counts[queue] = count
                self._share(queue, count, now)
                if count is not None:
                    log.info(
                        "queue %s: its rate is shared by %s; all have an equal part", queue, counted(count, "worker")
                    )

    def _report(self, error: BridgeError) -> None:
        if str(error) != self._trouble:
            self._trouble = str(error)
            log.error("the workers that share rates are not known, so events of queues with a rate wait: %s", error)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
