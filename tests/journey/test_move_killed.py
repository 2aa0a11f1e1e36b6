"""`bridge-move` killed again and again, while publishers still write to the old file and workers run on RabbitMQ."""

import asyncio
import json
import signal
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.attempt import Error
from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.event import Event
from bridge.ledger import Letter
from bridge.queues import Queue
from tests.deadlines import within
from tests.events import new_event
from tests.journey.site import Program, Site, eventually
from tests.limits import LONG, PATIENCE
from worker.moving.events import BATCH

EVENTS, DELAYED, LETTERS, LATE = 9_000, 600, 100, 300
LEFT_AT_KILLS = (8_500, 7_000, 5_500)
OK = json.dumps({"do": ["ok"]}).encode()


@pytest.fixture
def new(rabbitmq_url: str, tmp_path: Path) -> Iterator[Site]:
    """The site that has moved to RabbitMQ, with the old file in its directory."""
    site = Site(tmp_path, rabbitmq_url, f"j{uuid.uuid4().hex[:10]}")
    yield site
    site.remove()


def url_of_old(site: Site) -> str:
    return f"sqlite:///{site.directory}/old.db"


async def publish(old: Broker, count: int, delay: float = 0.0) -> list[Event]:
    """Publish events to the old file, all at once, as a busy site would."""
    publisher, events = old.publisher(), [new_event("do.it", OK) for _ in range(count)]
    due = datetime.now(UTC) + timedelta(seconds=delay) if delay else None
    await asyncio.gather(*(publisher.publish(event, due, deadline=within(LONG)) for event in events))
    return events


async def die(site: Site, count: int) -> list[Event]:
    """Let events of the old file become dead letters, as a worker does, which has ended then."""
    broker = open_broker(url_of_old(site), "bridge")
    await broker.declare([Queue("default")])
    consumer = broker.consumer()
    await consumer.start({"default": 50})
    dead: list[Event] = []
    for _ in range(count):
        delivery = await consumer.receive()
        error = Error("ValueError", "no")
        await delivery.dead_letter(Letter(datetime.now(UTC), "default", "rejected", delivery.envelope, error))
        dead.append(delivery.envelope.event)
    await broker.close()
    return dead


def left(site: Site) -> int:
    """Count the events that the old file still has."""
    with closing(sqlite3.connect(site.directory / "old.db", timeout=PATIENCE)) as connection:
        return int(connection.execute('SELECT count(*) FROM "bridge.event"').fetchone()[0])


def move(site: Site, *options: str) -> Program:
    return site.run("bridge-move", url_of_old(site), "--old-namespace", "bridge", *options)


async def killed_below(site: Site, events: int) -> None:
    """Move until fewer events than these are left, and kill the program then."""
    program = move(site)
    await eventually(lambda: left(site) < events, LONG, lambda: program.log)
    assert program.process.poll() is None, program.log
    program.signal(signal.SIGKILL)
    assert await program.ended() == -signal.SIGKILL


def times_run(site: Site, events: Sequence[Event]) -> list[int]:
    """Return how often each of these events has run."""
    ran = Counter(effect.id for effect in site.effects(began=False))
    return [ran[event.id] for event in events]


@pytest.mark.rabbitmq
async def test_a_move_that_is_killed_loses_nothing(new: Site) -> None:
    """10,000 events, three SIGKILLs: each runs on the new broker, and at most a batch for each kill runs twice. An old
    publisher writes meanwhile. Each dead letter is on the new broker."""
    old = open_broker(url_of_old(new), "bridge")
    await old.declare([Queue("default")])
    dead = await publish(old, LETTERS)
    assert {event.id for event in await die(new, LETTERS)} == {event.id for event in dead}
    events = await publish(old, EVENTS)
    events += await publish(old, DELAYED, delay=3.0)
    worker = new.worker()

    for number, events_left in enumerate(LEFT_AT_KILLS):
        await killed_below(new, events_left)
        events += await publish(old, LATE // len(LEFT_AT_KILLS), delay=number * 0.5)
    last = move(new, "--watch")
    await eventually(lambda: left(new) == 0, LONG, lambda: last.log)
    assert last.process.poll() is None, last.log  # the publisher has the file open
    events += await publish(old, 1)
    await old.close()

    assert await last.ended(LONG) == 0, last.log
    await eventually(lambda: min(times_run(new, events)) > 0, LONG, lambda: worker.log)
    worker.process.terminate()
    await worker.ended()
    rest = new.worker("--until-settled")  # the copies, if there are any, have run as well
    assert await rest.ended(LONG) == 0, rest.log
    repeated = sum(times_run(new, events)) - len(events)
    assert repeated <= len(LEFT_AT_KILLS) * BATCH
    assert Counter(letter.envelope.event.id for letter in await new.letters()) == Counter(event.id for event in dead)
