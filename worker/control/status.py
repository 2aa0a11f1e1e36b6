"""Make the statuses of a worker and of a pool from their own bookkeeping, and of the spool and the stores from what
they hold. No child is asked, so that no child can delay a status."""

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

from bridge.config.settings import Settings
from bridge.config.sidekiq_settings import SidekiqSettings
from bridge.config.store_settings import StoreSettings, outboxes, relayed_queues
from bridge.config.values import Values
from bridge.errors import BrokerRefused, BrokerUnavailable, SettingsError, StoreUnavailable
from bridge.publishing.outboxes import waiting_in
from bridge.publishing.sidekiq_queues import found_in
from bridge.publishing.spool.spool_file import spool_file
from bridge.publishing.spool.summary import Spooled, spooled
from bridge.publishing.stores import Waiting
from bridge.status import (
    ChildrenStatus,
    OutboxStatus,
    PoolStatus,
    ServingStatus,
    SidekiqStatus,
    SpoolStatus,
    WorkerStatus,
)


@dataclass(frozen=True, slots=True)
class About:
    """The facts about a worker that do not change while it runs."""

    app: str
    broker: str
    namespace: str
    started: datetime
    host: str = field(default_factory=socket.gethostname)
    instance: str = field(default_factory=partial(secrets.token_hex, 8))


def worker_status(
    about: About,
    children: ChildrenStatus,
    serving: ServingStatus,
    *,
    running: int,
    delivered: int,
    retried: int,
    dead_lettered: int,
) -> WorkerStatus:
    """Return the status of this worker process."""
    return WorkerStatus(
        instance=about.instance,
        host=about.host,
        pid=os.getpid(),
        app=about.app,
        broker=about.broker,
        namespace=about.namespace,
        version=_version(),
        age=round((datetime.now(UTC) - about.started).total_seconds(), 1),
        running=running,
        delivered=delivered,
        retried=retried,
        dead_lettered=dead_lettered,
        serving=serving,
        **_fields_of(children),
    )


def pool_status(children: ChildrenStatus, app: str, address: str, age: float, served: int) -> PoolStatus:
    """Return the status of this pool process, which is `age` seconds old and has served this many requests."""
    return PoolStatus(
        pid=os.getpid(),
        app=app,
        address=address,
        version=_version(),
        age=round(age, 1),
        served=served,
        **_fields_of(children),
    )


def spool_status(settings: Settings) -> SpoolStatus | None:
    """Return the status of the spool; None if the site does not use a spool and no event is in it."""
    file = spool_file(settings)
    if file is None:
        return None
    found, trouble = Spooled(), None
    try:
        found = spooled(file.path, file.namespace)
    except (BrokerUnavailable, BrokerRefused) as error:
        trouble = str(error)
    if settings.values.publish == "confirm" and not found.events and trouble is None:
        return None
    age = _age(found.oldest)
    return SpoolStatus(spool=str(file.path), events=found.events, oldest=age, bytes=found.bytes, trouble=trouble)


async def store_statuses(settings: Settings) -> list[OutboxStatus | SidekiqStatus]:
    """Return the status of each store of `[stores]` that `bridge-relay` publishes: the outboxes, then Sidekiq."""
    values = settings.values
    queues = relayed_queues(values.stores)
    of_outboxes = outbox_statuses(outboxes(values.stores), values.namespace)
    of_queues = asyncio.gather(*(_sidekiq_status(name, queue, values) for name, queue in queues.items()))
    return [*await of_outboxes, *await of_queues]


async def outbox_statuses(stores: Mapping[str, StoreSettings], namespace: str) -> list[OutboxStatus]:
    """Return the status of each outbox of `[stores]`."""
    return await asyncio.gather(*(_outbox_status(name, store, namespace) for name, store in stores.items()))


async def _outbox_status(name: str, store: StoreSettings, namespace: str) -> OutboxStatus:
    found, trouble = Waiting(), None
    try:
        found = await waiting_in(store, namespace)
    except (SettingsError, StoreUnavailable) as error:
        trouble = str(error)
    return OutboxStatus(outbox=name, events=found.events, oldest=_age(found.oldest), trouble=trouble)


async def _sidekiq_status(name: str, queue: SidekiqSettings, values: Values) -> SidekiqStatus:
    try:
        found = await found_in(queue, values)
    except (SettingsError, StoreUnavailable) as error:
        return SidekiqStatus(sidekiq=name, events=0, oldest=None, staying={}, trouble=str(error))
    age = _age(found.oldest)
    return SidekiqStatus(sidekiq=name, events=found.events, oldest=age, staying=found.staying, trouble=None)


def _age(since: datetime | None) -> float | None:
    return None if since is None else round((datetime.now(UTC) - since).total_seconds(), 1)


def _fields_of(children: ChildrenStatus) -> dict[str, Any]:
    return {each.name: getattr(children, each.name) for each in fields(children)}


def _version() -> str:
    return version("deferred-event-bridge")
