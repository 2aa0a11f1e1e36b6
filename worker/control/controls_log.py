"""The controls of a site on its broker: reads them from their log, and appends what an operator decides."""

import asyncio
import uuid
from datetime import UTC, datetime

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.logs import Log
from bridge.cancellations import Cancellation, Cancellations
from bridge.cancellations import record_of as record_of_cancellation
from bridge.controls import Control, Controls, Pause, record_of
from bridge.ledger_keys import LedgerKeys
from bridge.logs import BEFORE_ALL, Record
from bridge.site_logs import CANCELLATIONS, CONTROLS


class ControlsLog:
    """The two logs, and the folds of what was read from them so far. Raises `BrokerUnavailable` or `BrokerRefused`."""

    def __init__(self, broker: Broker, namespace: str, keys: LedgerKeys) -> None:
        self.controls = Controls()
        self.cancellations = Cancellations()
        self.log_of_controls: Log = broker.log(CONTROLS.name, CONTROLS.retention)
        self.log_of_cancellations: Log = broker.log(CANCELLATIONS.name, CANCELLATIONS.retention)
        self.controls_read = BEFORE_ALL
        self.cancellations_read = BEFORE_ALL
        self._namespace = namespace
        self._keys = keys
        self._interrupted: set[str] = set()

    async def read(self) -> None:
        """Read the records that are new since the last call."""
        await asyncio.gather(self.read_controls(), self._read_cancellations())

    async def read_controls(self) -> None:
        """Read the new records of controls alone."""
        async for record in self.log_of_controls.read(self.controls_read):
            self.take_control(record)

    def take_control(self, record: Record) -> None:
        """Add a record of the log of controls. A record may be added twice."""
        self.controls_read = record.position
        self.controls.add(record.content, self._namespace, self._keys)

    def take_cancellation(self, record: Record) -> Cancellation | None:
        """Add a record of the log of cancellations. Return its cancellation; None for a record that does not count."""
        self.cancellations_read = record.position
        cancellation = self.cancellations.add(record.content, datetime.now(UTC), self._namespace, self._keys)
        if cancellation is not None and cancellation.running:
            self._interrupted.add(cancellation.event)
        return cancellation

    def newly_interrupted(self) -> frozenset[str]:
        """Return the events that were cancelled, also if they run, since the last call."""
        interrupted, self._interrupted = self._interrupted, set()
        return frozenset(interrupted)

    async def decide(self, control: Control) -> None:
        """Append a control, confirmed, with the other pauses that hold now as far as they were read."""
        held = self.controls.to_carry(control.time)
        await self.log_of_controls.append(record_of(control, held, self._namespace, self._keys))

    async def cancel(self, cancellation: Cancellation) -> None:
        """Append a cancellation, confirmed."""
        signed = cancellation.signed(self._namespace, self._keys)
        await self.log_of_cancellations.append(record_of_cancellation(signed))

    async def _read_cancellations(self) -> None:
        async for record in self.log_of_cancellations.read(self.cancellations_read):
            self.take_cancellation(record)


def new_pause(
    *,
    queue: str | None = None,
    events: str | None = None,
    until: datetime | None = None,
    who: str,
    why: str,
    event: str | None = None,
) -> Pause:
    """Return a pause that begins now."""
    return Pause(uuid.uuid4().hex, queue, events, until, who, why, datetime.now(UTC), event)
