"""Publishes to the broker while it answers, and to the spool while it does not: the circuit with its effects. The relay
that empties the spool, and by whose success the circuit closes, is in `relay`.
"""

import asyncio
import logging
import time
from datetime import datetime
from typing import cast

from bridge.brokers.contract import WITHIN
from bridge.brokers.declared import DeclaredPublisher
from bridge.brokers.spool.circuit import Circuit, Sign
from bridge.brokers.spool.relay import Relay
from bridge.brokers.spool.spool_file import SpoolFile
from bridge.brokers.spool.store import Store
from bridge.errors import (
    BrokerRefused,
    BrokerUnavailable,
    DeferError,
    DeferRejected,
    DeferUnconfirmed,
    PartlyRejected,
)
from bridge.event import Event

_SHARE, _AT_MOST = 0.5, 1.0
"""What is kept of an event's time for the spool, should the broker not answer: this part, at most so many seconds."""
_AT_LEAST = 0.1
FLUSH = 0.25
"""Seconds that each step of `close()` may take."""

log = logging.getLogger("bridge")


class SpoolingPublisher:
    """A publisher that no broker can hold up for long more than once. Its relay runs from the first event, or from
    `start()`."""

    closing = 1.25
    """Seconds that `close()` may take at the end of a process."""

    def __init__(self, broker: DeclaredPublisher, file: SpoolFile) -> None:
        self._broker = broker
        self._store = Store(file)
        self._circuit = Circuit()
        self._relay = Relay(self._store, broker, self._circuit, self._note)
        self._relaying: asyncio.Task[None] | None = None
        self._publishing: set[asyncio.Task[object]] = set()
        self._at_broker: set[asyncio.Task[object]] = set()
        self._cut: set[asyncio.Task[object]] = set()

    @property
    def name(self) -> str:
        """What the broker is, for people."""
        return self._broker.name

    def start(self) -> None:
        """Begin to relay what is in the spool."""
        if self._relaying is None:
            self._relaying = asyncio.create_task(self._relay.run(), name="spool relay")

    async def ready(self, within: float) -> None:
        """Return at once: there is always a place for an event."""

    async def publish(self, event: Event, due: datetime | None = None, *, within: float = WITHIN) -> None:
        """Publish within so many seconds, or spool. Raises what `Publisher.publish` raises: `DeferRejected` also where
        neither takes it, `BrokerUnavailable` never, `DeferUnconfirmed` where it may have been published or spooled."""
        self.start()
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._publishing.add(task)
        try:
            await self._publish(task, event, due, within)
        finally:
            self._publishing.discard(task)

    async def close(self) -> None:
        """Give what is not confirmed another moment, then spool it; end the relay behind its batch; close the file and
        the broker."""
        if await _left_of(self._publishing):
            self._note(Sign.SILENCE, "this process ends")
            await _left_of(self._publishing)
        if self._relaying is not None:
            self._relay.stop()
            await _left_of({self._relaying})
            self._relaying.cancel()
            await _left_of({self._relaying})
        await self._store.close()
        await self._broker.close()

    async def _publish(self, task: "asyncio.Task[object]", event: Event, due: datetime | None, within: float) -> None:
        deadline = time.monotonic() + within
        silence: DeferError | None = None
        if self._circuit.closed:
            try:
                await self._to_broker(task, event, due, within - min(within * _SHARE, _AT_MOST))
            except PartlyRejected:
                raise  # an answer; and spooled, it would come once more to the queues that have it
            except (BrokerUnavailable, DeferUnconfirmed) as error:
                silence = error
                self._note(Sign.SILENCE, error)
            else:
                return
        await self._to_spool(event, due, max(deadline - time.monotonic(), _AT_LEAST), silence)

    async def _to_broker(self, task: "asyncio.Task[object]", event: Event, due: datetime | None, within: float) -> None:
        self._at_broker.add(task)
        try:
            await self._broker.publish(event, due, within=within)
        except asyncio.CancelledError:
            if task not in self._cut:
                raise
            task.uncancel()
            raise DeferUnconfirmed(event.id, "it was given up, for another event was waited for in vain") from None
        finally:
            self._at_broker.discard(task)
            self._cut.discard(task)

    async def _to_spool(self, event: Event, due: datetime | None, within: float, silence: DeferError | None) -> None:
        number: int | None = None
        try:
            number = await self._store.add(event, due, within)
        except (DeferRejected, BrokerUnavailable, BrokerRefused) as error:
            because = f"; the broker: {silence}" if silence is not None else ""
            message = f"event {event.id} is neither published nor spooled: {error}{because}"
            if isinstance(silence, DeferUnconfirmed):
                raise DeferUnconfirmed(event.id, f"{message}; it may still run") from error
            raise DeferRejected(message) from error
        finally:
            self._relay.opened(number)

    def _note(self, sign: Sign, why: object) -> None:
        if not self._circuit.note(sign, time.monotonic()):
            return
        if self._circuit.closed:
            log.info("%s answers again: events go to it", self._broker.name)
            return
        log.warning("%s does not answer: events go to the spool %s: %s", self._broker.name, self._store.path, why)
        for task in self._at_broker:  # they would wait for what has just been waited for in vain
            self._cut.add(task)
            task.cancel()


async def _left_of(tasks: "set[asyncio.Task[object]] | set[asyncio.Task[None]]") -> bool:
    """Wait a moment for these. Tell whether some are left."""
    return bool(tasks) and bool((await asyncio.wait(tasks, timeout=FLUSH))[1])
