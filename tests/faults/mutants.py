"""Mutants: our own programs with one promise broken on purpose, to prove that the judge notices the broken promise.

Each mutant replaces one method or function of the product. No setting of the product can do that.
`tests.faults.mutated` runs the mutants.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge import settlement
from bridge.brokers.any_broker import hand
from bridge.brokers.rabbitmq.connection.link import Link
from bridge.brokers.rabbitmq.consuming.delivery import RabbitDelivery
from bridge.brokers.rabbitmq.logs.decisions import RabbitDecisions
from bridge.brokers.rabbitmq.publishing import frames, sender
from bridge.brokers.rabbitmq.publishing.confirming import Answered, ConfirmingChannel
from bridge.brokers.rabbitmq.publishing.frames import Properties
from bridge.brokers.rabbitmq.publishing.publication import retry
from bridge.brokers.rabbitmq.publishing.trials import Trials
from bridge.brokers.sqlite.queues import leases
from bridge.brokers.sqlite.queues.holding import Holding
from bridge.envelope import Envelope
from bridge.handling import Priority
from bridge.ledger import Redriven
from bridge.local_database import connection
from bridge.publishing.relay import Relay
from bridge.queues import WEIGHTS
from bridge.schedule import CLAIM
from tests.faults.call_mutants import CALL_MUTANTS
from tests.faults.replacing import put
from worker.control import scheduler
from worker.control.site_controls import SiteControls
from worker.events import consumer, gate, steering
from worker.events.in_flight import EventInFlight
from worker.events.replay import Replayer


def confirms_off() -> None:
    """Count a message as published when it is written to the socket, without a confirm."""

    def unconfirmed(*arguments: Any, confirms: bool) -> Link:
        return Link(*arguments, confirms=False)

    class Hasty(ConfirmingChannel):
        def write(
            self, exchange: str, routing_key: str, properties: Properties, body: bytes, answered: Answered
        ) -> None:
            super().write(exchange, routing_key, properties, body, lambda error: None)
            asyncio.get_running_loop().call_soon(answered, None)

    @asynccontextmanager
    async def no_trial(self: Trials, main: ConfirmingChannel, target: object) -> AsyncIterator[ConfirmingChannel]:
        yield main

    put(sender, "Link", unconfirmed)
    put(sender, "ConfirmingChannel", Hasty)
    put(Trials, "channel", no_trial)


def mandatory_off() -> None:
    """Publish without the mandatory flag: RabbitMQ drops an unroutable message without returning it."""
    put(frames, "_MANDATORY", b"\0")


def ack_before_effect() -> None:
    """Acknowledge a delivery when it arrives, and settle nothing after the replay."""
    replay = Replayer.replay

    async def hasty(self: Replayer, held: EventInFlight, slots: Any) -> Any:
        await held.delivery.ack()
        return await replay(self, held, slots)

    async def settled(self: EventInFlight, verb: object) -> bool:
        return True

    put(Replayer, "replay", hasty)
    put(EventInFlight, "settle", settled)


def ack_before_copy_is_confirmed() -> None:
    """Acknowledge a delivery, and only then publish its retry copy."""

    async def hasty(self: Any, envelope: Envelope, wait: timedelta) -> None:
        self._origin.channel.ack(self._origin.tag)
        await self._publisher.send(retry(envelope, self.queue, wait, time.monotonic()))

    put(RabbitDelivery, "retry", hasty)


def retry_counted_twice() -> None:
    """Count each attempt twice."""
    spend = settlement._spend

    def twice(*arguments: Any) -> Envelope:
        spent = spend(*arguments)
        return spent._replace(spent=spent.spent + 1)

    put(settlement, "_spend", twice)


def spool_deleted_first() -> None:
    """Delete events from the spool, and only then publish them."""
    relay = Relay._relay

    async def hasty(self: Any, batch: Sequence[Any]) -> int:
        await self._store.remove([event.key for event in batch])
        return await relay(self, batch)

    put(Relay, "_relay", hasty)


def live_lease_taken() -> None:
    """Take the lock file of every lease owner for the lock file of a dead process."""
    put(leases, "remove_if_free", lambda path, access: True)


def redrive_recorded_first() -> None:
    """Record a redrive, and only then publish the event."""

    async def hasty(self: Any, number: int, envelope: Envelope, queue: str, actor: str, note: str) -> None:
        await self._record(Redriven(0, number, datetime.now(UTC), actor, note))
        await self._publisher.put(envelope, queue)

    put(RabbitDecisions, "redrive", hasty)


def synchronous_off() -> None:
    """Let SQLite commit without syncing the file to the disk."""
    set_up = connection._set_up

    def careless(opened: Any, *arguments: Any) -> None:
        set_up(opened, *arguments)
        opened.execute("PRAGMA synchronous = OFF")

    put(connection, "_set_up", careless)


def paused_begins_one_more() -> None:
    """Know of a pause, and begin the events of its queue all the same."""
    for module in (consumer, gate, steering):
        put(module, "pause_of", lambda *_: None)


def pauses_not_followed() -> None:
    """Read the pauses at the start, and notice no later one."""
    put(SiteControls, "_follow_controls", _deaf)


def cancellations_not_followed() -> None:
    """Read the cancellations at the start, and notice no later one."""
    put(SiteControls, "_follow_cancellations", _deaf)


async def _deaf(self: SiteControls) -> None:
    await asyncio.Event().wait()


def order_skipped() -> None:
    """Let the retry of an ordered queue's event go to the back of the queue, and run the next event meanwhile."""

    async def to_the_back(self: RabbitDelivery, envelope: Envelope, wait: timedelta) -> None:
        await self._replace(retry(envelope, self.queue, wait, time.monotonic()), "the retry")

    put(RabbitDelivery, "retry", to_the_back)
    put(Holding, "is_ordered", lambda self, queue: False)


def schedules_by_every_worker() -> None:
    """Let every worker publish the events of the schedules: each has a claim of its own."""
    put(scheduler, "CLAIM", f"{CLAIM}-{os.getpid()}")


def missed_moments_forgotten() -> None:
    """Let whoever gets the claim of the schedules begin with the next moment."""

    async def none(self: object) -> dict[str, object]:
        return {}

    put(scheduler._Holder, "_last_records", none)


def expiry_not_asked() -> None:
    """Begin an event without asking whether it has expired."""
    put(Replayer, "_check_time", lambda self, envelope: None)


def priorities_ignored() -> None:
    """Take events of every priority in turn."""
    put(hand, "WEIGHTS", dict.fromkeys(WEIGHTS, 1))


def low_starved() -> None:
    """Take events of low priority only if no others wait."""
    put(hand, "WEIGHTS", {**WEIGHTS, Priority.LOW: 1e-9})


MUTANTS: Mapping[str, Callable[[], None]] = {
    "confirms off": confirms_off,
    "mandatory off": mandatory_off,
    "ack before the effect": ack_before_effect,
    "ack before the retry copy is confirmed": ack_before_copy_is_confirmed,
    "retry counted twice": retry_counted_twice,
    "spool deleted before its confirm": spool_deleted_first,
    "a live owner's lease taken": live_lease_taken,
    "redrive recorded before it is published": redrive_recorded_first,
    "a paused queue begins one more": paused_begins_one_more,
    "pauses not followed": pauses_not_followed,
    "an ordered queue skips": order_skipped,
    "an expired event begins": expiry_not_asked,
    "cancellations not followed": cancellations_not_followed,
    "a schedule runs twice": schedules_by_every_worker,
    "a schedule skips a moment": missed_moments_forgotten,
    "priorities ignored": priorities_ignored,
    "low events starve": low_starved,
    **CALL_MUTANTS,
    "synchronous=OFF": synchronous_off,
}
