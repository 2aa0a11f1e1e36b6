"""Ordeals that test one promise, with events that the ordeal itself defers one by one and notes in the history."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from bridge.handling import Handling
from tests.deadlines import within
from tests.events import new_event
from tests.faults.drain import drain
from tests.faults.judge import judge
from tests.faults.limits import STEP
from tests.faults.ordeal import TERMS
from tests.faults.rules import CANCELLED_WITHIN, PAUSED_WITHIN, STARVED
from tests.faults.stage import BUDGET, Stage
from tests.journey.site import eventually


async def defer(
    stage: Stage, name: str, *steps: str, count: int = 1, expires: float | None = None, **known: object
) -> list[str]:
    """Defer `count` events named `NAME-0`, `NAME-1`, …; return their keys. The n-th attempt of an event does the n-th
    step; the last step applies to all later attempts. The events expire after `expires` seconds. `known` is added to
    the lines `invoke`."""
    keys = [f"{name}-{number}" for number in range(count)]
    data = json.dumps({"do": steps}).encode()
    async with stage.site.broker() as broker:
        publisher = broker.publisher()
        for key in keys:
            event = new_event(f"judged.{key}", data)
            if expires is not None:
                handling = Handling(expires=event.time + timedelta(seconds=expires))
                event, known = replace(event, handling=handling), {**known, "expires": time.monotonic() + expires}
            stage.note("invoke", key=key, pid=os.getpid(), delay=None, id=event.id, **known)
            await publisher.publish(event, deadline=within(BUDGET))
            stage.note("ok", key=key, pid=os.getpid())
        await publisher.close()
    return keys


async def noted(stage: Stage, what: str, lines: int = 1) -> None:
    """Wait until the history has this many lines of this kind in total."""
    await eventually(lambda: stage.count(what) >= lines, STEP, lambda: _missing(stage, what, lines))


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


async def cancel(stage: Stage, key: str) -> None:
    """Cancel an event that this ordeal has deferred, and wait until that holds."""
    (event,) = (record["id"] for record in stage.history() if record["what"] == "invoke" and record["key"] == key)
    cancelled = stage.site.run("bridge-events", "cancel", event)
    assert await cancelled.ended(STEP) == 0, cancelled.log
    stage.note("cancelled", key=key)
    await asyncio.sleep(CANCELLED_WITHIN + STARVED)


async def rules_broken(
    stage: Stage, ordeal: Callable[[Stage, str | None], Awaitable[None]], mutant: str | None
) -> list[str]:
    """Run an ordeal, with a mutant or with the unchanged program (None); return the names of the broken promises."""
    await ordeal(stage, mutant)
    await drain(stage)
    return [breach.rule for breach in judge(stage.history(), TERMS)]
