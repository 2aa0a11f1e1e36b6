"""Probes at once: a worker listens to those who ask for a probe, and asks the other workers when its breaker closes.

All of it is best effort: without it, the next probe comes in its time.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from bridge.brokers.contract.broadcast import Broadcast
from bridge.brokers.contract.broker import Broker
from bridge.errors import BridgeError, BrokerUnavailable
from bridge.logger import log
from bridge.logs import Content
from bridge.probes import SUBJECT, ProbeAsked, answer_of, probe_in, question_of
from worker.events.breakers import Breakers

AGAIN_SECONDS = 60.0
"""Seconds until a worker whose listening was refused tries again."""


class Probing:
    """Lets the breakers of the worker `instance` probe at once when somebody asks for that."""

    def __init__(self, broadcast: Broadcast, breakers: Breakers, instance: str) -> None:
        self._broadcast = broadcast
        self._breakers = breakers
        self._instance = instance
        self._closed: asyncio.Queue[ProbeAsked] = asyncio.Queue()
        breakers.on_closed = lambda queue, name: self._closed.put_nowait(ProbeAsked(queue, name))

    async def run(self) -> NoReturn:
        """Listen and ask without end."""
        while True:
            try:
                async with self._broadcast.listen(self._hear):
                    await self._ask_the_others()
            except BridgeError as error:
                log.warning("bridge-queues probe does not reach this worker: %s; trying again", error)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _ask_the_others(self) -> NoReturn:
        while True:
            question = question_of(await self._closed.get())
            with suppress(BrokerUnavailable):  # then no event begins anywhere
                await self._broadcast.tell(question)

    async def _hear(self, content: Content) -> Content | None:
        asked = probe_in(content)
        if asked is None or not self._breakers.probe_at_once(asked.queue, asked.name):
            return None
        log.info("queue %s: asked to probe now", asked.queue)
        return answer_of(self._instance)


def probing(broker: Broker, breakers: Breakers, instance: str) -> Sequence[Coroutine[Any, Any, NoReturn]]:
    """Return what listens to those who ask for a probe, if this worker has a queue with a breaker."""
    if not breakers.by_queue:
        return ()
    return (Probing(broker.broadcast(SUBJECT), breakers, instance).run(),)
