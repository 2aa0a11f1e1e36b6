"""Ordeals that test one promise, with events that the ordeal itself defers one by one and notes in the history."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

from bridge.handling import Handling, Priority
from tests.deadlines import within
from tests.events import new_event
from tests.faults.drain import drain
from tests.faults.history import Following
from tests.faults.judge import Breach, judge
from tests.faults.limits import STEP
from tests.faults.ordeal import TERMS
from tests.faults.stage import Stage
from tests.faults.tolerances import CANCELLED_WITHIN, PAUSED_WITHIN, STARVED
from tests.journey.site import Program, eventually

Ordeal = Callable[[Stage, str | None], Awaitable[None]]
"""Does an ordeal with a mutant, or with the unchanged program (None)."""


async def defer(
    stage: Stage,
    name: str,
    *steps: str,
    count: int = 1,
    delay: float | None = None,
    expires: float | None = None,
    priority: Priority | None = None,
    **known: object,
) -> list[str]:
    """Defer `count` events named `NAME-0`, `NAME-1`, …; return their keys. The n-th attempt of an event does the n-th
    step; the last step applies to all later attempts. The events are due after `delay` seconds, and expire after
    `expires` seconds. `known` is added to the lines `invoke`."""
    keys = [f"{name}-{number}" for number in range(count)]
    data = json.dumps({"do": steps}).encode()
    async with stage.site.broker() as broker:
        publisher = broker.publisher()
        for key in keys:
            event = new_event(f"judged.{key}", data)
            due = None if delay is None else event.time + timedelta(seconds=delay)
            if expires is not None:
                event = event._replace(handling=Handling(expires=event.time + timedelta(seconds=expires)))
                known |= {"expires": time.monotonic() + expires}
            if priority is not None:
                event = event._replace(handling=Handling(priority=priority))
                known |= {"priority": str(priority)}
            stage.note("invoke", key=key, pid=os.getpid(), delay=delay, id=event.id, **known)
            await publisher.publish(event, due, deadline=within(STEP))
            stage.note("ok", key=key, pid=os.getpid())
        await publisher.close()
    return keys


async def start_worker(stage: Stage, mutant: str | None = None) -> Program:
    """Start a worker, or a mutant of the worker, whose children are forked from a nursery: that halves the CPU time of
    their boot, which these ordeals do not test."""
    return await stage.start_worker("--preload", mutant=mutant)


async def noted(stage: Stage, what: str, lines: int = 1) -> None:
    """Wait until the history has this many lines of this kind in total."""
    await eventually(lambda: stage.count(what) >= lines, STEP, lambda: _missing(stage, what, lines))


async def all_run(stage: Stage, following: Following, keys: Collection[str], least: int | None = None) -> None:
    """Wait until as many of these events as given (None: all) have had an effect since `following` began."""
    missing, most = set(keys), 0 if least is None else len(keys) - least

    def have_run() -> bool:
        missing.difference_update(record["key"] for record in following.records() if record["what"] == "effect")
        return len(missing) <= most

    await eventually(have_run, STEP, lambda: f"{len(missing)} of {len(keys)} have not run: {sorted(missing)[:5]}")


def scheduled(stage: Stage, name: str) -> tuple[str, ...]:
    """Return the settings of a schedule with a moment each second, after a note that the judge reads."""
    stage.note("schedule", key=name, every=1.0)
    return "[schedules.tick]", f'event = "scheduled.{name}"', 'cron = "* * * * * *"'


def _missing(stage: Stage, what: str, lines: int) -> str:
    return f"{lines - stage.count(what)} of {lines} '{what}' lines are missing after {STEP:g} s"


async def pause(stage: Stage) -> None:
    """Pause the only queue, and wait until that holds."""
    paused = stage.site.run("bridge-queues", "pause", "default", "--why", "a fault")
    assert await paused.ended(STEP) == 0, paused.log
    stage.note("paused")
    await asyncio.sleep(PAUSED_WITHIN + STARVED)


async def resume(stage: Stage) -> None:
    """Resume the only queue."""
    stage.note("resumed")
    resumed = stage.site.run("bridge-queues", "resume", "default")
    assert await resumed.ended(STEP) == 0, resumed.log


async def cancel(stage: Stage, *keys: str) -> None:
    """Cancel events that this ordeal has deferred, and wait until that holds."""
    events = [record["id"] for record in stage.history() if record["what"] == "invoke" and record["key"] in keys]
    cancelled = stage.site.run("bridge-events", "cancel", *events)
    assert await cancelled.ended(STEP) == 0, cancelled.log
    for key in keys:
        stage.note("cancelled", key=key)
    await asyncio.sleep(CANCELLED_WITHIN + STARVED)


async def broken(stage: Stage, ordeal: Ordeal, mutant: str | None) -> list[Breach]:
    """Run an ordeal, with a mutant or with the unchanged program (None); return the broken promises."""
    await ordeal(stage, mutant)
    await drain(stage)
    return judge(stage.history(), TERMS)


async def rules_broken(stage: Stage, ordeal: Ordeal, mutant: str | None) -> set[str]:
    """Run an ordeal, with a mutant or with the unchanged program (None); return the names of the broken promises."""
    return {breach.rule for breach in await broken(stage, ordeal, mutant)}
