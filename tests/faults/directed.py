"""Ordeals that aim, with events that are deferred one by one: noted in the history as a publisher does, from here."""

import json
import os
from collections.abc import Awaitable, Callable

from tests.events import new_event
from tests.faults.drain import drain
from tests.faults.judge import judge
from tests.faults.ordeal import TERMS
from tests.faults.stage import BUDGET, Stage
from tests.journey.site import eventually


async def defer(stage: Stage, name: str, *steps: str, count: int = 1) -> list[str]:
    """Defer so many events, `name-0` and on, each of whose attempts does its step, the last for all that follow; and
    return their keys."""
    keys = [f"{name}-{number}" for number in range(count)]
    data = json.dumps({"do": steps}).encode()
    async with stage.site.broker() as broker:
        publisher = broker.publisher()
        for key in keys:
            stage.note("invoke", key=key, pid=os.getpid(), delay=None)
            await publisher.publish(new_event(f"judged.{key}", data), within=BUDGET)
            stage.note("ok", key=key, pid=os.getpid())
        await publisher.close()
    return keys


async def noted(stage: Stage, what: str, lines: int = 1) -> None:
    """Wait until the history has so many lines of this kind in all."""
    await eventually(lambda: stage.count(what) >= lines, 60.0, stage.report)


async def rules_broken(
    stage: Stage, ordeal: Callable[[Stage, str | None], Awaitable[None]], mutant: str | None
) -> list[str]:
    """Return the promises that are broken in an ordeal, with a mutant in it or without."""
    await ordeal(stage, mutant)
    await drain(stage)
    return [breach.rule for breach in judge(stage.history(), TERMS)]
