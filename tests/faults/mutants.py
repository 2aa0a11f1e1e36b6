"""Mutants: our own programs with one promise broken on purpose, so that the judge can show that it would notice. Each
is a method or a function put in the place of a real one, here and in no setting. `tests.faults.mutated` runs them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aiormq.channel import Channel as Engine

from bridge import settlement
from bridge.brokers.rabbitmq import publisher
from bridge.brokers.rabbitmq.decisions import RabbitDecisions
from bridge.brokers.rabbitmq.delivery import RabbitDelivery
from bridge.brokers.rabbitmq.link import Link
from bridge.brokers.spool.relay import Relay
from bridge.brokers.sqlite import connection, leases
from bridge.envelope import Envelope
from bridge.ledger import Redriven
from worker.held import HeldEvent
from worker.replay import Replayer


def confirms_off() -> None:
    """What was written to RabbitMQ counts as published."""

    def unconfirmed(*arguments: Any, confirms: bool) -> Link:
        return Link(*arguments, confirms=False)

    _put(publisher, "Link", unconfirmed)


def mandatory_off() -> None:
    """RabbitMQ is not asked to say that no queue takes it."""
    publish = Engine.basic_publish

    async def optional(self: Engine, *arguments: Any, mandatory: bool, **known: Any) -> Any:
        return await publish(self, *arguments, mandatory=False, **known)

    _put(Engine, "basic_publish", optional)


def ack_before_effect() -> None:
    """A delivery is acked when it comes, and nothing is left to settle."""
    replay = Replayer.replay

    async def hasty(self: Replayer, held: HeldEvent, slots: Any) -> Any:
        await held.delivery.ack()
        return await replay(self, held, slots)

    async def settled(self: HeldEvent, verb: object) -> bool:
        return True

    _put(Replayer, "replay", hasty)
    _put(HeldEvent, "settle", settled)


def ack_before_copy_is_confirmed() -> None:
    """A delivery is acked, and then its retry copy is published."""

    async def hasty(self: Any, envelope: Envelope, wait: timedelta) -> None:
        self._held.session.ack(self._held.tag)
        await self._publisher.put_after(envelope, self.queue, wait)

    _put(RabbitDelivery, "retry", hasty)


def retry_counted_twice() -> None:
    """Each attempt is spent twice."""
    spend = settlement._spend

    def twice(*arguments: Any) -> Envelope:
        spent = spend(*arguments)
        return replace(spent, spent=spent.spent + 1)

    _put(settlement, "_spend", twice)


def spool_deleted_first() -> None:
    """What is to be relayed leaves the spool, and is then published."""
    relay = Relay._relay

    async def hasty(self: Any, batch: Sequence[Any]) -> int:
        await self._store.remove([one.key for one in batch])
        return await relay(self, batch)

    _put(Relay, "_relay", hasty)


def live_lease_taken() -> None:
    """Every owner's lock passes for free."""
    _put(leases, "remove_if_free", lambda path: True)


def redrive_recorded_first() -> None:
    """A redrive is recorded, and then published."""

    async def hasty(self: Any, number: int, envelope: Envelope, queue: str, actor: str, note: str) -> None:
        await self._record(Redriven(0, number, datetime.now(UTC), actor, note))
        await self._publisher.put(envelope, queue)

    _put(RabbitDecisions, "redrive", hasty)


def synchronous_off() -> None:
    """SQLite leaves it to the kernel when a commit comes to the disk."""
    set_up = connection._set_up

    def careless(opened: Any, *arguments: Any) -> None:
        set_up(opened, *arguments)
        opened.execute("PRAGMA synchronous = OFF")

    _put(connection, "_set_up", careless)


def _put(owner: object, name: str, mutant: object) -> None:
    assert hasattr(owner, name), f"{owner} has no {name}: the mutant would change nothing"
    setattr(owner, name, mutant)


MUTANTS: Mapping[str, Callable[[], None]] = {
    "confirms off": confirms_off,
    "mandatory off": mandatory_off,
    "ack before the effect": ack_before_effect,
    "ack before the retry copy is confirmed": ack_before_copy_is_confirmed,
    "retry counted twice": retry_counted_twice,
    "spool deleted before its confirm": spool_deleted_first,
    "a live owner's lease taken": live_lease_taken,
    "redrive recorded before it is published": redrive_recorded_first,
    "synchronous=OFF": synchronous_off,
}
