"""What `bridge-queues` does on the broker: count, pause, resume and purge, each decision with who and why."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import click

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.operating import QueueCounts
from bridge.config.settings import Settings
from bridge.console.actor import actor
from bridge.console.exit_codes import ExitCode
from bridge.console.program import Failure
from bridge.console.site_options import existing_broker
from bridge.controls import Controls, Pause, Purge, Resume
from bridge.queues import Queue
from worker.control.controls_log import ControlsLog, new_pause
from worker.operating.looking import Looks, two_looks
from worker.operating.looks import OpenBreaker, Rates, rates


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue of a list. `counts` is None if the broker has no such queue. `held` is the number of its events that
    workers have in hand. `held` and `rates` are None if they are not known. `breakers` are those of its workers that
    hold events, and `serving` is the number of its workers."""

    queue: Queue
    counts: QueueCounts | None
    pauses: tuple[Pause, ...]
    held: int | None = None
    rates: Rates | None = None
    breakers: tuple[OpenBreaker, ...] = ()
    serving: int = 0


@dataclass(frozen=True, slots=True)
class Overview:
    """All queues of a site, the pauses by event pattern, and the number of events that wait for their time. `skipped`
    counts the records of controls that do not count. `seconds` is the time for which the rates were measured. `unasked`
    says which workers are not counted in what is in hand and in the rates, and why; it is empty if all are."""

    site: str
    lines: tuple[QueueLine, ...]
    pauses: tuple[Pause, ...]
    waiting: int
    skipped: int
    seconds: float
    unasked: str


@dataclass(frozen=True, slots=True)
class Page:
    """One queue with its purges, and the pauses by event pattern that may concern it. `seconds` and `unasked` are those
    of `Overview`."""

    line: QueueLine
    patterns: tuple[Pause, ...]
    purges: tuple[Purge, ...]
    seconds: float
    unasked: str


async def overview(settings: Settings, seconds: float) -> Overview:
    """Return the queues with their counts and pauses, and with their rates over these `seconds`, which it takes. Raise
    `BrokerUnavailable` or `BrokerRefused`."""
    queues = settings.queues()
    async with _opened(settings) as (broker, log):
        looks, _ = await asyncio.gather(
            two_looks(broker, [queue.name for queue in queues], seconds), log.read_controls()
        )
        return overview_of(broker.name, queues, looks, log.controls, datetime.now(UTC))


def overview_of(site: str, queues: Sequence[Queue], looks: Looks, controls: Controls, now: datetime) -> Overview:
    """Return the overview that two looks and the controls give."""
    before, after, unasked = looks
    pauses = controls.pauses(now)
    lines = tuple(
        QueueLine(
            queue,
            after.counts.queues.get(queue.name),
            tuple(each for each in pauses if each.queue == queue.name),
            after.held(queue.name),
            rates(before, after, queue.name),
            after.breakers(queue.name),
            after.serving(queue.name),
        )
        for queue in queues
    )
    by_pattern = tuple(each for each in pauses if each.events is not None)
    return Overview(site, lines, by_pattern, after.counts.waiting, controls.skipped, after.time - before.time, unasked)


async def page(settings: Settings, name: str, seconds: float) -> Page:
    """Return everything about one queue. Raise `Failure` if the settings have no such queue."""
    check_queue(settings, name)
    found = await overview(settings, seconds)
    async with _opened(settings) as (_, log):
        await log.read_controls()
        purges = log.controls.purges(name)
    line = next(line for line in found.lines if line.queue.name == name)
    return Page(line, found.pauses, purges, found.seconds, found.unasked)


async def pause(settings: Settings, queue: str | None, events: str | None, until: datetime | None, why: str) -> Pause:
    """Pause a queue or a pattern, and return the pause. Raise `Failure` if the settings have no such queue."""
    new = new_pause(queue=queue, events=events, until=until, who=actor(), why=why)
    await begin_pause(settings, new)
    return new


async def begin_pause(settings: Settings, new: Pause) -> None:
    """Begin a pause. One whose id has been used before changes nothing if it was resumed meanwhile. Raise `Failure` if
    the settings have no such queue."""
    if new.queue is not None:
        check_queue(settings, new.queue)
    async with _opened(settings) as (_, log):
        await log.read_controls()
        await log.decide(new)


async def resume(
    settings: Settings,
    queue: str | None,
    events: str | None,
    why: str,
    *,
    who: str | None = None,
    only: Collection[str] | None = None,
) -> tuple[Pause, ...]:
    """End the pauses of a queue or a pattern, and return them. `who` is by default the user of this process. `only`
    limits it to the pauses with these ids. Raise `Failure` if the queue is not paused and the settings have none of
    this name."""
    async with _opened(settings) as (_, log):
        await log.read_controls()
        now = datetime.now(UTC)
        ended = tuple(
            each
            for each in log.controls.pauses(now)
            if (each.queue, each.events) == (queue, events) and (only is None or each.id in only)
        )
        if ended:
            await log.decide(Resume(tuple(each.id for each in ended), who or actor(), why, now))
        elif queue is not None:
            check_queue(settings, queue)
    return ended


async def purge(settings: Settings, queue: str, why: str) -> Purge:
    """Delete the ready events of a queue, and return the purge with their number. Raise `Failure` if the settings have
    no such queue."""
    return await carry_out_purge(settings, Purge(uuid.uuid4().hex, queue, None, actor(), why, datetime.now(UTC)))


async def carry_out_purge(settings: Settings, wished: Purge) -> Purge:
    """Delete the ready events of a queue; record that before and after. A purge whose id is recorded already changes
    nothing, and is returned as it is recorded. Raise `Failure` if the settings have no such queue."""
    check_queue(settings, wished.queue)
    async with _opened(settings) as (broker, log):
        await log.read_controls()
        known = next((each for each in log.controls.purges(wished.queue) if each.id == wished.id), None)
        if known is not None:
            return known
        await log.decide(wished)
        done = replace(wished, events=await broker.operator().purge(wished.queue))
        await log.decide(done)
    return done


def confirmed(settings: Settings, queue: str) -> bool:
    """Show how many events would be deleted, ask, and return True if the answer is yes. Raise `Failure` without a
    terminal."""
    if not sys.stdin.isatty():
        raise Failure("there is no terminal to ask on: give purge --yes, or list to look first", ExitCode.USAGE)
    ready = asyncio.run(_ready(settings, queue))
    try:
        return click.confirm(f"Delete the {ready:,} ready events of queue {queue} for good?", err=True)
    except click.Abort:  # Ctrl-C or the end of input, in place of an answer
        click.echo(err=True)
        return False


async def _ready(settings: Settings, queue: str) -> int:
    check_queue(settings, queue)
    async with existing_broker(settings) as broker:
        counts = (await broker.operator().counts([queue])).queues.get(queue)
    return 0 if counts is None else sum(counts.ready.values())


def check_queue(settings: Settings, name: str) -> None:
    """Raise `Failure` if the settings have no queue of this name."""
    names = [queue.name for queue in settings.queues()]
    if name not in names:
        raise Failure(f"queue {name!r:.100}: expected one of {', '.join(names)}", ExitCode.USAGE)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Broker, ControlsLog]]:
    async with existing_broker(settings) as broker:
        yield broker, ControlsLog(broker, settings.values.namespace, settings.ledger_keys())
