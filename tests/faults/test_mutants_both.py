"""The judge catches each mutant on both brokers. Each mutant has an ordeal that the unchanged program passes."""

import asyncio
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bridge.handling import Priority
from tests.faults.call_rules import OUTLIVED
from tests.faults.caller import SHORT_TIMEOUT, TIMEOUT
from tests.faults.conftest import marks
from tests.faults.directed import Ordeal, broken, cancel, defer, noted, rules_broken, scheduled, start_worker
from tests.faults.drain import end
from tests.faults.limits import STEP
from tests.faults.ordeal import BOTH
from tests.faults.share_rules import A_LOW_ONE
from tests.faults.stage import CHILDREN, HELD_BY_A_WORKER, Stage
from tests.faults.stages import Stages
from tests.faults.tolerances import STARVED

PATIENT = "deadline = '20m'"
"""The setting for events that wait for the ordeal, on a busy machine."""

FLOOD = 60
"""Events of each priority."""

GONE = OUTLIVED + 0.5
"""Seconds after the end of a call's time after which the judge tolerates no run of it."""

DOWNTIME = 2.5
"""Seconds: at least two moments of a schedule."""

EXPIRES = 0.5
"""Seconds after which an event expires."""


def on_both(values: Iterable[Any]) -> list[Any]:
    """Return the cases of these values on both brokers, all but the first marked `long`."""
    cases = ((value, on) for value in values for on in BOTH)
    return [
        pytest.param(value, on, marks=marks(on, long=number > 0), id=f"{getattr(value, '__name__', value)}-{on}")
        for number, (value, on) in enumerate(cases)
    ]


async def kill_in_order(stage: Stage, mutant: str | None) -> None:
    """Kill the only worker while the head of an ordered queue waits for its retry; another worker goes on."""
    stage.configure(PATIENT, "[queues.default]", "ordered = true")
    failing = stage.site.directory / "failing.log"
    worker = await start_worker(stage, mutant)
    await defer(stage, "head", f"fail:{failing}", "ok", ordered="default")
    await noted(stage, "attempt")
    await defer(stage, "next", "ok", count=4, ordered="default")
    failing.touch()
    await noted(stage, "failure")
    if mutant is not None:
        await noted(stage, "effect")
    killed = await stage.kill(worker)
    stage.hurt("SIGKILL of a worker", repeats=HELD_BY_A_WORKER, killed=(killed,))
    await start_worker(stage)
    await noted(stage, "effect", 5)


async def fill_the_slots(stage: Stage, mutant: str | None) -> Path:
    """Start a worker that takes calls, and whose slots are all taken until the returned file exists."""
    stage.configure(PATIENT)
    await start_worker(stage, mutant)
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
    stage.configure(*scheduled(stage, "tick"))
    await asyncio.gather(*(start_worker(stage, mutant) for _ in range(2)))
    if mutant is not None:
        for worker in stage.workers:
            await worker.says("published scheduled.tick", STEP)
    await stage.reaches("moment", 4)
    await end_schedule(stage)


async def kill_the_scheduler(stage: Stage, mutant: str | None) -> None:
    """Kill the worker that runs a schedule; another one starts some moments later."""
    stage.configure(*scheduled(stage, "tick"))
    worker = await start_worker(stage, mutant)
    await noted(stage, "moment", 2)
    killed = await stage.kill(worker)
    stage.hurt("SIGKILL of a worker", repeats=HELD_BY_A_WORKER, killed=(killed,))
    await asyncio.sleep(DOWNTIME)
    await start_worker(stage, mutant)
    await stage.reaches("moment", 3)
    await end_schedule(stage)


async def end_schedule(stage: Stage) -> None:
    """Replace the workers by one without schedules, for the drain, which a schedule would keep from its end."""
    await end(stage.workers)
    stage.configure()
    await start_worker(stage)


async def outlive_the_callers(stage: Stage, mutant: str | None) -> None:
    """Let a call wait for a slot, and another one run, until their callers have given up."""
    done = await fill_the_slots(stage, mutant)
    await stage.call("waits", "ok", TIMEOUT).ended(STEP)
    await asyncio.sleep(GONE)
    done.touch()
    if mutant is not None:
        await noted(stage, "called")
    again = stage.site.directory / "again.log"
    await stage.call("runs", f"wait:{again}", TIMEOUT).ended(STEP)
    await asyncio.sleep(GONE)
    again.touch()
    if mutant is not None:
        await noted(stage, "replied", 2)


async def kill_the_worker_of_a_call(stage: Stage, mutant: str | None) -> None:
    """Kill the worker that runs a call, while another worker could run it."""
    worker = await start_worker(stage, mutant)
    done = stage.site.directory / "done.log"
    caller = stage.call("lost", f"wait:{done}", STEP)
    await noted(stage, "called")
    await start_worker(stage, mutant)
    killed = await stage.kill(worker)
    stage.hurt("SIGKILL of a worker", repeats=HELD_BY_A_WORKER, killed=(killed,))
    if mutant is None:
        await caller.ended(STEP)
    else:
        await noted(stage, "called", 2)
    done.touch()
    await caller.ended(STEP)
    await start_worker(stage)  # removes the control socket of the killed one


async def call_often(stage: Stage, mutant: str | None) -> None:
    """Call from several threads."""
    await start_worker(stage)
    stage.start_caller(mutant)
    await noted(stage, "told", 40)


async def stop_the_worker_of_a_call(stage: Stage, mutant: str | None) -> None:
    """Call while the only worker is stopped."""
    worker = await start_worker(stage)
    worker.signal(signal.SIGSTOP)
    await stage.call("stopped", "ok", SHORT_TIMEOUT, mutant).ended(STEP)
    worker.signal(signal.SIGCONT)


async def flood(stage: Stage, mutant: str | None) -> None:
    """Let a worker take events of all priorities, which wait."""
    done = await fill_the_slots(stage, mutant)
    over = stage.site.directory / "over.log"
    for priority in Priority:
        await defer(stage, priority, f"pace:{over}", count=FLOOD, priority=priority)
    done.touch()
    await noted(stage, "effect", CHILDREN + 2 * A_LOW_ONE)
    over.touch()


ORDEALS: dict[str, tuple[Ordeal, *tuple[str, ...]]] = {
    "an ordered queue skips": (kill_in_order, "an event of an ordered queue began before an earlier one ended"),
    "an expired event begins": (expire_behind_others, "an expired event began"),
    "cancellations not followed": (cancel_behind_others, "a cancelled event began"),
    "a schedule runs twice": (run_a_schedule, "a moment of a schedule ran twice"),
    "a schedule skips a moment": (kill_the_scheduler, "a moment of a schedule was left out"),
    "priorities ignored": (flood, "less urgent events came before more urgent ones"),
    "low events starve": (flood, "low events did not get their share"),
    "an answer to a caller that is gone": (
        outlive_the_callers,
        "a call began after its time",
        "a call ran on for a caller that was gone",
    ),
    "a call runs twice": (kill_the_worker_of_a_call, "a call ran more than once"),
    "answers mixed up": (call_often, "a caller got an answer that was not its own"),
    "a caller is told late": (stop_the_worker_of_a_call, "a call took longer than its timeout"),
}
"""By mutant: the ordeal, and the promises that the mutant breaks."""

CASES = on_both(ORDEALS)
UNCHANGED = on_both(dict.fromkeys(ordeal for ordeal, *_ in ORDEALS.values()))


@pytest.mark.parametrize(("mutant", "on"), CASES)
def test_the_mutant_is_caught(stages: Stages, mutant: str, on: str) -> None:
    """The judge names the promises that the mutant breaks."""
    ordeal, *rules = ORDEALS[mutant]
    with stages.stage(on) as stage:
        assert set(rules) <= asyncio.run(rules_broken(stage, ordeal, mutant))


@pytest.mark.parametrize(("ordeal", "on"), UNCHANGED)
def test_the_program_passes(stages: Stages, ordeal: Ordeal, on: str) -> None:
    """The unchanged program breaks no promise in the same ordeal, which some mutants share."""
    with stages.stage(on) as stage:
        assert asyncio.run(broken(stage, ordeal, None)) == []
