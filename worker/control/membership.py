"""A worker as a member of its site: it records its start and its end, and answers questions about its status.

All of it is best effort. A worker works on if the broker refuses the log or the broadcast.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

from bridge.brokers.contract.broker import Broker
from bridge.deadline import Deadline
from bridge.errors import BridgeError
from bridge.logger import log
from bridge.logs import AppendUnconfirmed, Content
from bridge.registry import SEEN_EVERY, SUBJECT, Sighting, Step, answer_of, record_of
from bridge.site_logs import WORKERS
from bridge.status import WorkerStatus

END_SECONDS = 2.0
"""The longest time that the record of the end delays the end."""


AGAIN_SECONDS = 60.0
"""Seconds until a worker whose listening was refused tries again."""


class Membership:
    """The membership of one worker, while it is entered. `status` returns the worker's present status."""

    def __init__(self, broker: Broker, status: Callable[[], WorkerStatus]) -> None:
        self._broker = broker
        self._status = status
        self._log = broker.log(WORKERS.name, WORKERS.retention)
        self._tasks: list[asyncio.Task[NoReturn]] = []

    async def __aenter__(self) -> None:
        self._tasks = [
            asyncio.create_task(self._record_while_running(), name="registry, recording"),
            asyncio.create_task(self._answer(), name="registry, answering"),
        ]

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._record("ended", END_SECONDS)

    async def _record_while_running(self) -> NoReturn:
        step: Step = "started"
        while True:
            await self._record(step)
            step = "running"
            await asyncio.sleep(SEEN_EVERY)

    async def _record(self, step: Step, within: float | None = None) -> None:
        status = self._status()
        sighting = Sighting(step, datetime.now(UTC), status.instance, status.host, status.pid, status.app)
        deadline = None if within is None else Deadline.after(within, time.monotonic())
        try:
            await self._log.append(record_of(sighting), deadline=deadline)
        except AppendUnconfirmed:
            pass  # the record may be there; another follows
        except BridgeError as error:
            log.warning("bridge-status --site may show this worker wrongly: '%s' was not recorded: %s", step, error)

    async def _answer(self) -> NoReturn:
        """Answer questions without end."""
        while True:
            try:
                async with self._broker.broadcast(SUBJECT).listen(self._answer_one):
                    await asyncio.Event().wait()
            except BridgeError as error:
                log.warning("bridge-status --site will not find this worker: %s; trying again", error)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _answer_one(self, _question: Content) -> Content:
        return answer_of(self._status())
