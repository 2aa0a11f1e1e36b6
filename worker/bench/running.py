"""The run of a benchmark: publish a backlog, let a worker drain it, then publish at an even pace to that worker."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.publishing import Publisher
from bridge.brokers.opening import open_broker
from bridge.config.sqlite_url import is_sqlite
from bridge.console.exit_codes import ExitCode
from bridge.console.program import Failure
from bridge.deadline import Deadline
from bridge.errors import BrokerUnavailable
from bridge.event import Event, event_id
from worker.bench import recording
from worker.bench.cpu import cpu_of_descendants, cpu_of_machine, cpu_seconds
from worker.bench.result import KEPT, PROMISE, Drain, Result, Times
from worker.bench.throw_away import ThrowAwaySite, removed_afterwards
from worker.site.running import programs

ALONE = 200
"""Publishes that are timed, one after the other. They are a part of the backlog."""
AT_ONCE = 256
REACHED_WITHIN = 10.0
CONFIRMED_WITHIN = 60.0
BOOTED_SHARE = 0.1
"""The clock starts when this share of the backlog is settled, since the worker and its children have booted then."""
PACE, PACED, WARM_UP = 50, 250, 25
STALLED_SECONDS = 60.0
"""Seconds without a settled event, after the time that a boot may take, after which the run ends."""
LOOKED_EVERY = 0.005
STOP_SECONDS = 30.0
LOG_LINES = 12

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Load:
    """The app, as bridge-worker takes it, and the events: how many, and the name and JSON data of each."""

    app: str
    events: int
    name: str
    data: bytes

    def new_event(self) -> Event:
        """Return an event that is made now."""
        now = datetime.now(UTC)
        return Event(event_id(now, os.urandom(10)), self.name, "bridge-bench", now, "application/json", self.data)


@dataclass(frozen=True, slots=True)
class _Cpu:
    """The CPU seconds of all parties, at a time of the monotonic clock."""

    at: float
    worker: float
    children: Mapping[int, float]
    machine: float

    @classmethod
    def of(cls, pid: int) -> "_Cpu":
        return cls(time.monotonic(), cpu_seconds(pid), cpu_of_descendants(pid), cpu_of_machine())


async def run(site: ThrowAwaySite, load: Load, say: Say) -> Result:
    """Run the benchmark on the site, and remove from the broker what it made there. Raise the errors of the broker, and
    `Failure` if the worker ends or does not go on."""
    async with _opened(site) as broker:
        try:
            await broker.publisher().ready(Deadline.after(REACHED_WITHIN, time.monotonic()))
        except BrokerUnavailable as error:
            raise BrokerUnavailable(f"{broker.name} cannot be reached: {error}") from error
        say(f"working on {broker.name}, which is removed at the end")
    async with removed_afterwards(site.settings), _opened(site) as broker:
        await broker.declare(site.settings.queues())
        publisher = broker.publisher()
        say(f"publishing {load.events:,} events …")
        alone = [await _published(publisher, load) for _ in range(ALONE)]
        rate = await _publish_many(publisher, load, load.events - ALONE)
        say("draining them with a worker …")
        async with _worker(site, load.app) as worker:
            drain = await _drained(site, worker, load)
            say(f"publishing {PACE} events a second …")
            latency = await _latency(site, worker, publisher, load)
        failed = sum(not record.delivered for record in recording.read(site.records))
        return Result(
            app=load.app,
            broker=broker.name,
            event=load.name,
            promise=PROMISE.format(kept=KEPT[is_sqlite(site.settings.values.broker_url)]),
            publish_rate=rate,
            publish=Times.of(alone),
            drain=drain,
            pace=PACE,
            latency=latency,
            failed=failed,
        )


@asynccontextmanager
async def _opened(site: ThrowAwaySite) -> AsyncIterator[Broker]:
    values = site.settings.values
    broker = open_broker(values.broker_url, values.namespace, file_group=values.file_group, tls=site.settings.tls())
    try:
        yield broker
    finally:
        await broker.close()


async def _published(publisher: Publisher, load: Load) -> float:
    """Publish one event; return the seconds until it was confirmed."""
    began = time.monotonic()
    await publisher.publish(load.new_event(), deadline=Deadline.after(CONFIRMED_WITHIN, began))
    return time.monotonic() - began


async def _publish_many(publisher: Publisher, load: Load, count: int) -> float:
    """Publish this number of events, many at a time; return the events a second."""
    began = time.monotonic()
    for first in range(0, count, AT_ONCE):
        await asyncio.gather(*(_published(publisher, load) for _ in range(min(AT_ONCE, count - first))))
    return count / (time.monotonic() - began)


@asynccontextmanager
async def _worker(site: ThrowAwaySite, app: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a worker of the site. It ends by itself if this process is killed."""
    command = [str(programs() / "bridge-worker"), app, "--config", str(site.file)]
    with (site.directory / "log").open("wb") as log:
        worker = await asyncio.create_subprocess_exec(
            *command,
            *("--idle-exit", str(STALLED_SECONDS)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=site.environment,
            start_new_session=True,
        )
    try:
        yield worker
    finally:
        await _stop(worker)


async def _stop(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        worker.terminate()
        try:
            await asyncio.wait_for(worker.wait(), STOP_SECONDS)
        except TimeoutError:
            worker.kill()
            await worker.wait()


async def _settled(site: ThrowAwaySite, worker: asyncio.subprocess.Process, count: int) -> int:
    """Wait until this number of attempts is settled; return how many are. Raise `Failure` if that does not come."""
    patience = site.settings.values.boot_timeout.total_seconds() + STALLED_SECONDS
    last, since = -1, time.monotonic()
    while (now := recording.count(site.records)) < count:
        if now > last:
            last, since = now, time.monotonic()
        if worker.returncode is not None or time.monotonic() - since > patience:
            raise _failure(site, worker.returncode, now, count)
        await asyncio.sleep(LOOKED_EVERY)
    return now


def _failure(site: ThrowAwaySite, code: int | None, settled: int, count: int) -> Failure:
    lines = (site.directory / "log").read_text(errors="replace").splitlines()[-LOG_LINES:]
    what = "does not go on" if code is None else f"ended with exit code {code}"
    known = code if code in (ExitCode.USAGE, ExitCode.BROKER, ExitCode.APP) else ExitCode.INCOMPLETE
    text = "\n".join([f"bridge-worker {what}; {settled:,} of {count:,} events settled. Its last lines:", *lines])
    return Failure(text, ExitCode(known))


async def _drained(site: ThrowAwaySite, worker: asyncio.subprocess.Process, load: Load) -> Drain:
    booted = await _settled(site, worker, round(load.events * BOOTED_SHARE))
    before = _Cpu.of(worker.pid)
    settled = await _settled(site, worker, load.events)
    after = _Cpu.of(worker.pid)
    if settled == booted:
        raise Failure("the backlog was drained before the clock could start: give more --events", ExitCode.INCOMPLETE)
    moments = [record.settled for record in recording.read(site.records)[booted - 1 : settled]]
    own = after.worker - before.worker
    children = sum(seconds - before.children.get(pid, 0.0) for pid, seconds in after.children.items())
    return Drain(
        events=settled - booted,
        seconds=moments[-1] - moments[0],
        worker=own,
        children=children,
        others=max(after.machine - before.machine - own - children, 0.0),
        processes=site.settings.values.children,
        cores=os.cpu_count() or 1,
    )


async def _latency(site: ThrowAwaySite, worker: asyncio.subprocess.Process, publisher: Publisher, load: Load) -> Times:
    """Publish at an even pace; return the times from just before a publish until the event is settled."""
    before = recording.count(site.records)
    began = time.monotonic()
    async with asyncio.TaskGroup() as publishes:
        for number in range(WARM_UP + PACED):
            await asyncio.sleep(max(began + number / PACE - time.monotonic(), 0))
            publishes.create_task(_published(publisher, load))
    await _settled(site, worker, before + WARM_UP + PACED)
    paced = sorted(recording.read(site.records)[before:])[WARM_UP:]
    return Times.of([record.settled - record.made for record in paced])
