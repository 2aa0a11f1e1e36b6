"""The settlements of one consumer that wait for its next transaction, and how they are written together."""

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.brokers.sqlite.queues.delivery import SqliteDelivery, Work
from bridge.brokers.sqlite.queues.settling import Settling, lost
from bridge.errors import DeliveryLost


def _new_future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class Settlement:
    """One verb of a delivery. `work` writes it; None: the plain acknowledgement, of which many are written at once.
    `wakes`: it may let another process take an event. `settled` ends with the commit."""

    delivery: SqliteDelivery
    work: Work | None
    wakes: bool
    settled: asyncio.Future[None] = field(default_factory=_new_future)

    def end(self, error: Exception | None) -> None:
        """End the wait for the commit."""
        if self.settled.done():
            return  # the task that awaited it was cancelled
        if error is None:
            self.settled.set_result(None)
        else:
            self.settled.set_exception(error)


def carry_out(
    connection: sqlite3.Connection, settling: Settling, owner: str, file: int, settlements: Sequence[Settlement]
) -> list[DeliveryLost | None]:
    """Write the settlements in the transaction that is open; return the error of each whose event is not held any more.
    `file` is the count of the file that is open now."""
    acks = [each.delivery.number for each in settlements if each.work is None and each.delivery.file == file]
    acked = settling.ack_all(connection, acks, owner) if acks else set()
    return [_carried_out(connection, each, file, acked) for each in settlements]


def _carried_out(
    connection: sqlite3.Connection, settlement: Settlement, file: int, acked: set[int]
) -> DeliveryLost | None:
    delivery = settlement.delivery
    if delivery.file != file:
        return DeliveryLost(f"delivery {delivery.token}: the file that it came from was removed or replaced")
    if settlement.work is None:
        if delivery.number not in acked:
            return lost(delivery.number)
        acked.remove(delivery.number)  # a second acknowledgement of the same event is too late
        return None
    try:
        settlement.work(connection)
    except DeliveryLost as error:
        return error
    return None
