"""The watcher that publishes internal events, each once and best effort, to the queues that ask for them.

A moment only puts its event into a short line; a task publishes it. So neither a slow nor a lost broker holds up the
worker. What does not fit into the line, and what the broker does not confirm, is dropped and logged.
"""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.brokers.contract.ledger import Ledger
from bridge.brokers.contract.publishing import Publisher
from bridge.deadline import Deadline
from bridge.envelope import Envelope, to_json
from bridge.errors import BridgeError
from bridge.event import Event, event_id
from bridge.internal_events import EventOfQueue, InternalEvent, asks_for_internal_events, internal_event_of
from bridge.logger import log
from bridge.moments import Moment
from bridge.queues import Queue, route
from worker.events.letter_numbers import letter_numbers

LINE = 1000
"""Most internal events that wait to be published."""

TOGETHER = 100
"""Most internal events whose letters are looked up by one reading of the ledger."""

PUBLISHED_WITHIN = 10.0
"""Seconds that the broker has to confirm an internal event."""

LAST_WITHIN = 2.0
"""Seconds that a worker that ends spends on the internal events that wait."""

SOURCE = "bridge"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An internal event in the line: its id, its time, and the queues that ask for it."""

    internal: InternalEvent
    id: str
    time: datetime
    queues: Sequence[str]

    def event(self, numbers: Mapping[EventOfQueue, int]) -> Event:
        """Return the event to be published. `numbers` has the numbers of letters that are known."""
        payload: dict[str, Any] = dict(self.internal.payload)
        if self.internal.letter is not None:
            payload["number"] = numbers.get(self.internal.letter)
        payload["worker"] = {"host": socket.gethostname(), "pid": os.getpid()}
        return Event(self.id, self.internal.name, SOURCE, self.time, "application/json", to_json(payload).encode())


class InternalPublisher:
    """Publishes the internal events of this worker while `publishing` is open. `queues` are the queues of the site."""

    def __init__(self, queues: Sequence[Queue], now: Callable[[], datetime] = _utc_now) -> None:
        self._queues = queues if asks_for_internal_events(queues) else ()
        self._now = now
        self._line: asyncio.Queue[_Waiting] = asyncio.Queue(LINE)
        self._dropped = 0

    def hears(self, kind: type) -> bool:
        """Return whether a queue asks for internal events."""
        return bool(self._queues)

    def __call__(self, moment: Moment) -> None:
        """Put the internal event of this moment into the line, if a queue asks for it."""
        if not self._queues:
            return
        now = self._now()
        internal = internal_event_of(moment, now)
        if internal is None:
            return
        if queues := route(self._queues, internal.name):
            try:
                self._line.put_nowait(_Waiting(internal, _id(internal, now), now, queues))
            except asyncio.QueueFull:
                self._drop(internal.name, f"{LINE} others wait")

    @asynccontextmanager
    async def publishing(self, publisher: Callable[[], Publisher], ledger: Callable[[], Ledger]) -> AsyncIterator[None]:
        """Publish while the block runs, with a publisher and a ledger that are made only if a queue asks for internal
        events. At the end, publish what waits, within `LAST_WITHIN` seconds."""
        if not self._queues:
            yield
            return
        made = publisher()
        task = asyncio.create_task(self._publish_all(made, ledger()), name="internal events")
        try:
            yield
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WITHIN):
                    await self._line.join()
        finally:
            task.cancel()
            await asyncio.wait([task])
            await made.close()

    async def _publish_all(self, publisher: Publisher, ledger: Ledger) -> None:
        while True:
            together = [await self._line.get()]
            while len(together) < TOGETHER and not self._line.empty():
                together.append(self._line.get_nowait())
            letters = [each.internal.letter for each in together if each.internal.letter is not None]
            numbers = await letter_numbers(ledger, letters)
            for each in together:
                event = each.event(numbers)
                for queue in each.queues:
                    await self._publish(publisher, event, queue)
                self._line.task_done()

    async def _publish(self, publisher: Publisher, event: Event, queue: str) -> None:
        deadline = Deadline.after(PUBLISHED_WITHIN, time.monotonic())
        try:
            await publisher.put(Envelope(event, round_began=event.time), queue, deadline=deadline)
        except BridgeError as error:
            self._drop(event.name, str(error))
        except Exception:
            log.exception("internal error while publishing an internal event; it is dropped", extra={"event": event.id})

    def _drop(self, name: str, why: str) -> None:
        self._dropped += 1
        if str(self._dropped).strip("0") == "1":  # the 1st, 10th, 100th …
            log.warning("an internal event is dropped, %d so far: %s", self._dropped, why, extra={"event": name})


def _id(internal: InternalEvent, now: datetime) -> str:
    if internal.fact is None:
        return event_id(now, os.urandom(10))
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{internal.name} {internal.fact}"))
