"""The relay of the spool. Its success closes the circuit, and only its success.

One process of a host relays at a time, by a lock. The other processes try the lock every `HEARTBEAT` seconds.
`spooling_publisher` decides which events are spooled.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bridge.errors import BridgeError
from bridge.moments import Tell
from bridge.publishing.circuit import Circuit, Observation
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.relay import Relay
from bridge.publishing.spool.store import Store

log = logging.getLogger("bridge")

Note = Callable[[Observation, object], None]


class SpoolRelay(Relay):
    """A relay that calls `note` with each observation of the broker."""

    def __init__(self, store: Store, publisher: LazyPublisher, circuit: Circuit, note: Note, tell: Tell) -> None:
        super().__init__(store, publisher, tell)
        self._spool = store
        self._circuit = circuit
        self._note = note
        self._proof: int | None = None  # the event that shows, when it leaves the spool, that the broker is back
        self._provable = False

    def opened(self, number: int | None) -> None:
        """Note that an event was spooled under this number, or could not be spooled (None).

        The first such event after the circuit opened is the proof: when it has left the spool, the broker is back.
        """
        if self._circuit.closed:
            self.wake()
        elif not self._provable:
            self._proof, self._provable, self._confirming = number, True, False
            self.wake()

    async def _turn(self) -> float:
        if self._circuit.closed:
            self._provable = False  # the proof belongs to an earlier opening of the circuit
        else:
            if self._circuit.remind(time.monotonic()):
                await self._remind()
            await self._delete_published()
            await self._reach()
            if self._provable and await self._is_proved():
                self._answered()
        return await super()._turn()

    async def _note_trouble(self, error: BridgeError) -> None:
        if self._circuit.closed:  # an open circuit has its own log lines
            await super()._note_trouble(error)

    def _log_empty(self, count: int) -> None:
        if count:
            log.info("%d events from %s were published; it is empty again", count, self._store.name)

    def _observe(self, observation: Observation, why: object) -> None:
        self._note(observation, why)
        if observation is Observation.ANSWER:
            self._provable = False

    async def _is_proved(self) -> bool:
        """Return True if another process has published the event that opened the circuit. Return True also if the spool
        cannot be read or took no event, because then it says nothing about the broker."""
        try:
            return self._proof is None or not await self._spool.holds(self._proof)
        except BridgeError as error:
            self._warn(str(error))
            return True

    async def _remind(self) -> None:
        waiting = await self._store.waiting()
        age = (
            ""
            if waiting.oldest is None
            else f", the oldest {(datetime.now(UTC) - waiting.oldest).total_seconds():.0f} s old"
        )
        log.warning(
            "%s still does not answer: %d events in %s%s", self._publisher.name, waiting.events, self._store.name, age
        )
