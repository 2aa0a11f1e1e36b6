"""The judge catches each mutant on both brokers. Each mutant has an ordeal that the unchanged program passes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.faults.conftest import marks
from tests.faults.directed import cancel, defer, noted, rules_broken
from tests.faults.drain import end
from tests.faults.ordeal import BOTH
from tests.faults.rules import STARVED
from tests.faults.stage import CHILDREN, HELD_BY_A_WORKER, Stage
from tests.faults.stages import Stages

PATIENT = "deadline = '60s'"
"""The setting for events that wait for the ordeal, on a busy machine."""

EXPIRES = 0.5
"""Seconds after which an event expires."""


async def kill_in_order(stage: Stage, mutant: str | None) -> None:
    """Kill the only worker while the head of an ordered queue waits for its retry; another worker goes on."""
    stage.configure(PATIENT, "[queues.default]", "ordered = true")
    failing = stage.site.directory / "failing.log"
    worker = await stage.start_worker(mutant=mutant)
    await defer(stage, "head", f"fail:{failing}", "ok", ordered="default")
    await noted(stage, "attempt")
    await defer(stage, "next", "ok", count=4, ordered="default")
    failing.touch()
    await noted(stage, "failure")
    if mutant is not None:
        await noted(stage, "effect")
    killed = await stage.kill(worker)
    stage.hurt("SIGKILL of a worker", repeats=HELD_BY_A_WORKER, killed=(killed,))
    await stage.start_worker()
    await noted(stage, "effect", 5)


async def fill_the_slots(stage: Stage, mutant: str | None) -> Path:
    """Start a worker whose slots are all taken until the returned file exists."""
    stage.configure(PATIENT)
    await stage.start_worker(mutant=mutant)
    done = stage.site.directory / "done.log"
    await defer(stage, "long", f"wait:{done}", count=CHILDREN)
    await noted(stage, "attempt", CHILDREN)
    return done


async def expire_behind_others(stage: Stage, mutant: str | None) -> None:
    """Let an event expire while it waits for a slot."""
    done = await fill_the_slots(stage, mutant)
    await defer(stage, "late", "ok", expires=EXPIRES)
    await asyncio.sleep(EXPIRES + 2 * STARVED)
    done.touch()
    await noted(stage, "effect", CHILDREN)


async def cancel_behind_others(stage: Stage, mutant: str | None) -> None:
    """Cancel an event that waits for a slot."""
    done = await fill_the_slots(stage, mutant)
    (key,) = await defer(stage, "withdrawn", "ok")
    await cancel(stage, key)
    done.touch()
    await noted(stage, "effect", CHILDREN)


async def run_a_schedule(stage: Stage, mutant: str | None) -> None:
    """Let two workers run a schedule for some seconds."""
    stage.configure("[schedules.tick]", 'event = "scheduled.tick"', 'cron = "* * * * * *"')
    await asyncio.gather(*(stage.start_worker(mutant=mutant) for _ in range(2)))
    await noted(stage, "moment", 6)
    await end(stage.workers)
    stage.configure()
    await stage.start_worker()  # for the drain, which a schedule would keep from its end


ORDEALS: dict[str, tuple[Callable[[Stage, str | None], Awaitable[None]], str]] = {
    "an ordered queue skips": (kill_in_order, "an event of an ordered queue began before an earlier one ended"),
    "an expired event begins": (expire_behind_others, "an expired event began"),
    "cancellations not followed": (cancel_behind_others, "a cancelled event began"),
    "a schedule runs twice": (run_a_schedule, "a moment of a schedule ran twice"),
}
"""By mutant: the ordeal, and the promise that the mutant breaks."""

CASES = [
    pytest.param(mutant, on, marks=marks(on, long=number > 0))
    for number, (mutant, on) in enumerate((mutant, on) for mutant in ORDEALS for on in BOTH)
]


@pytest.mark.parametrize(("mutant", "on"), CASES)
def test_the_mutant_is_caught(stages: Stages, mutant: str, on: str) -> None:
    """The judge names the promise that the mutant breaks."""
    ordeal, rule = ORDEALS[mutant]
    with stages.stage(on) as stage:
        assert rule in asyncio.run(rules_broken(stage, ordeal, mutant))


@pytest.mark.parametrize(("mutant", "on"), CASES)
def test_the_program_passes(stages: Stages, mutant: str, on: str) -> None:
    """The unchanged program breaks no promise in the same ordeal."""
    ordeal, _ = ORDEALS[mutant]
    with stages.stage(on) as stage:
        assert asyncio.run(rules_broken(stage, ordeal, None)) == []
