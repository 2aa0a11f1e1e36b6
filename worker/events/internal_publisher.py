"""The watcher that publishes internal events, each once and best effort, to the queues that ask for them.

A moment only puts its events into a short line; a task publishes them. So neither a slow nor a lost broker holds up the
worker. What does not fit into the line, and what the broker does not confirm, is dropped and logged.
"""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from bridge.brokers.contract.publishing import Publisher
from bridge.deadline import Deadline
from bridge.envelope import Envelope, to_json
from bridge.errors import BridgeError
from bridge.event import Event, event_id
from bridge.internal_events import InternalEvent, asks_for_internal_events, internal_event_of
from bridge.logger import log
from bridge.moments import Moment
from bridge.queues import Queue, route

LINE = 1000
"""Most internal events that wait to be published."""

PUBLISHED_WITHIN = 10.0
"""Seconds that the broker has to confirm an internal event."""

LAST_WITHIN = 2.0
"""Seconds that a worker that ends spends on the internal events that wait."""

SOURCE = "bridge"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class InternalPublisher:
    """Publishes the internal events of this worker while `publishing` is open. `queues` are the queues of the site."""

    def __init__(self, queues: Sequence[Queue], now: Callable[[], datetime] = _utc_now) -> None:
        self._queues = queues if asks_for_internal_events(queues) else ()
        self._now = now
        self._line: asyncio.Queue[tuple[Event, str]] = asyncio.Queue(LINE)
        self._dropped = 0

    def hears(self, kind: type) -> bool:
        """Return whether a queue asks for internal events."""
        return bool(self._queues)

    def __call__(self, moment: Moment) -> None:
        """Put the internal event of this moment into the line, once for each queue that asks for it."""
        if not self._queues:
            return
        now = self._now()
        internal = internal_event_of(moment, now)
        if internal is None:
            return
        event = _event(internal, now)
        for queue in route(self._queues, event.name):
            try:
                self._line.put_nowait((event, queue))
            except asyncio.QueueFull:
                self._drop(event, f"{LINE} others wait")

    @asynccontextmanager
    async def publishing(self, publisher: Callable[[], Publisher]) -> AsyncIterator[None]:
        """Publish while the block runs, with a publisher that is made only if a queue asks for internal events. At the
        end, publish what waits, within `LAST_WITHIN` seconds."""
        if not self._queues:
            yield
            return
        made = publisher()
        task = asyncio.create_task(self._publish_all(made), name="internal events")
        try:
            yield
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WITHIN):
                    await self._line.join()
        finally:
            task.cancel()
            await asyncio.wait([task])
            await made.close()

    async def _publish_all(self, publisher: Publisher) -> None:
        while True:
            event, queue = await self._line.get()
            await self._publish(publisher, event, queue)
            self._line.task_done()

    async def _publish(self, publisher: Publisher, event: Event, queue: str) -> None:
        deadline = Deadline.after(PUBLISHED_WITHIN, time.monotonic())
        try:
            await publisher.put(Envelope(event, round_began=event.time), queue, deadline=deadline)
        except BridgeError as error:
            self._drop(event, str(error))
        except Exception:
            log.exception("internal error while publishing an internal event; it is dropped", extra={"event": event.id})

    def _drop(self, event: Event, why: str) -> None:
        self._dropped += 1
        if str(self._dropped).strip("0") == "1":  # the 1st, 10th, 100th …
            log.warning("an internal event is dropped, %d so far: %s", self._dropped, why, extra={"event": event.name})


def _event(internal: InternalEvent, now: datetime) -> Event:
    payload = {**internal.payload, "worker": {"host": socket.gethostname(), "pid": os.getpid()}}
    data = to_json(payload).encode()
    if internal.fact is None:
        id = event_id(now, os.urandom(10))
    else:
        id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{internal.name} {internal.fact}"))
    return Event(id, internal.name, SOURCE, now, "application/json", data)
