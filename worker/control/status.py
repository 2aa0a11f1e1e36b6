"""Make the statuses of a worker and of a pool from their own bookkeeping, and of the spool and the outboxes from what
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
from bridge.config.store_settings import StoreSettings
from bridge.errors import BrokerRefused, BrokerUnavailable, SettingsError, StoreUnavailable
from bridge.publishing.outboxes import waiting_in
from bridge.publishing.spool.spool_file import spool_file
from bridge.publishing.spool.summary import Spooled, spooled
from bridge.publishing.stores import Waiting
from bridge.status import ChildrenStatus, OutboxStatus, PoolStatus, ServingStatus, SpoolStatus, WorkerStatus


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
    age = None if found.oldest is None else round((datetime.now(UTC) - found.oldest).total_seconds(), 1)
    return SpoolStatus(spool=str(file.path), events=found.events, oldest=age, bytes=found.bytes, trouble=trouble)


async def outbox_statuses(stores: Mapping[str, StoreSettings], namespace: str) -> list[OutboxStatus]:
    """Return the status of each outbox of `[stores]`."""
    return await asyncio.gather(*(_outbox_status(name, store, namespace) for name, store in stores.items()))


async def _outbox_status(name: str, store: StoreSettings, namespace: str) -> OutboxStatus:
    found, trouble = Waiting(), None
    try:
        found = await waiting_in(store, namespace)
    except (SettingsError, StoreUnavailable) as error:
        trouble = str(error)
    age = None if found.oldest is None else round((datetime.now(UTC) - found.oldest).total_seconds(), 1)
    return OutboxStatus(outbox=name, events=found.events, oldest=age, trouble=trouble)


def _fields_of(children: ChildrenStatus) -> dict[str, Any]:
    return {each.name: getattr(children, each.name) for each in fields(children)}


def _version() -> str:
    return version("deferred-event-bridge")
