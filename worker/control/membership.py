"""A worker as a member of its site: it records its start and its end, and answers questions about its status and about
the stacks of its children.

All of it is best effort. A worker works on if the broker refuses the log or the broadcast.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NoReturn

from bridge.brokers.contract.broker import Broker
from bridge.deadline import Deadline
from bridge.errors import BridgeError
from bridge.logger import log
from bridge.logs import AppendUnconfirmed, Content
from bridge.registry import SEEN_EVERY, SUBJECT, Sighting, Step, answer_of, record_of
from bridge.site_logs import WORKERS
from bridge.stacks import ChildStacks, content_of, is_for_stacks, pid_asked_for
from bridge.status import WorkerStatus

END_SECONDS = 2.0
"""The longest time that the record of the end delays the end."""


AGAIN_SECONDS = 60.0
"""Seconds until a worker whose listening was refused tries again."""

StacksOf = Callable[[int], Awaitable[bytes | None]]


class Membership:
    """The membership of one worker, while it is entered. `status` returns the worker's present status, `stacks` those
    of the child with this process id; None if the worker has no such child."""

    def __init__(self, broker: Broker, status: Callable[[], WorkerStatus], stacks: StacksOf) -> None:
        self._broker = broker
        self._status = status
        self._stacks = stacks
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

    async def _answer_one(self, question: Content) -> Content | None:
        status = self._status()
        if not is_for_stacks(question):
            return answer_of(status)
        pid = pid_asked_for(question, status.instance)
        stacks = None if pid is None else await self._stacks(pid)
        if pid is None or stacks is None:
            return None
        event = next((slot.id for slot in status.slots if slot.pid == pid), None)
        text = stacks.decode("ascii", "backslashreplace")
        return content_of(ChildStacks(status.instance, status.host, status.pid, pid, event, text))
