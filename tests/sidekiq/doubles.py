"""What tests of Sidekiq share: jobs as its client writes them, and a relay to a broker whose answers a test changes."""

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from bridge.config.sidekiq_settings import SidekiqSettings
from bridge.event import Event
from bridge.moments import Tell, tell_nobody
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.sidekiq.store import SidekiqStore
from bridge.publishing.store_relay import StoreRelay
from bridge.queues import Queue
from tests.unit.bridge.publishing.doubles import SwitchedBroker

QUEUE = "queue:default"
MOST = 100_000
CLASSES = {"DeferEvent": "legacy.defer", "Mail": "mail.sent"}
HELD = "bridge:sidekiq:default:held"


def a_job(number: int, kind: str = "DeferEvent", **fields: Any) -> bytes:
    """Return a job with this number as its jid and its only argument."""
    job = {"retry": True, "queue": "default", "class": kind, "args": [number], "jid": f"{number:024x}"}
    return json.dumps({**job, "created_at": 1700000000.5, "enqueued_at": time.time(), **fields}).encode()


def push(client: Any, jobs: Iterable[bytes]) -> None:
    """Push jobs to the queue, as Sidekiq's client does."""
    client.lpush(QUEUE, *jobs)


def numbers_of(broker: SwitchedBroker) -> list[int]:
    """Return the arguments of the events that the broker has taken, in order."""
    return [number_of(event) for event, _ in broker.taken]


def number_of(event: Event) -> int:
    """Return the argument of the job that the event was."""
    number: int = json.loads(event.data)["args"][0]
    return number


def store_of(url: str, **settings: Any) -> SidekiqStore:
    """Return the store of the default queue."""
    found = SidekiqSettings(url, classes=CLASSES, poll=timedelta(seconds=0.02))
    return SidekiqStore(SidekiqSettings(**{**vars(found), **settings}), "bridge", MOST)


@asynccontextmanager
async def relaying(
    url: str, broker: SwitchedBroker, tell: Tell = tell_nobody, **settings: Any
) -> AsyncIterator[SidekiqStore]:
    """Relay the default queue to the broker."""
    publisher = LazyPublisher(lambda: broker, (Queue("default"),))
    store = store_of(url, **settings)
    relay = StoreRelay(store, publisher, tell)
    relay.start()
    try:
        yield store
    finally:
        await relay.close()
        await publisher.close()
