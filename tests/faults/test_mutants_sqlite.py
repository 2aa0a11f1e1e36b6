"""The judge catches each mutant on SQLite. Each mutant has an ordeal that the unchanged program passes."""

import asyncio
import os
import signal
import sys

import pytest

from tests.faults.conftest import all_but_the_first_long
from tests.faults.directed import Ordeal, broken, defer, noted, pause, resume, rules_broken, start_worker
from tests.faults.history import Record
from tests.faults.limits import STEP
from tests.faults.rules import LOST
from tests.faults.stage import Stage
from tests.faults.stages import Stages
from tests.faults.syncs import STRACE, unsynced
from tests.journey.site import Program, eventually


async def crash_in_the_listener(stage: Stage, mutant: str | None) -> None:
    """Let the process that runs an event die before the effect."""
    await start_worker(stage, mutant)
    await defer(stage, "crash", "die", "ok")
    await noted(stage, "attempt")
    stage.hurt("end of a child")


async def fail_once(stage: Stage, mutant: str | None) -> None:
    """Let an event fail once, and succeed at its second attempt."""
    await start_worker(stage, mutant)
    await defer(stage, "fail", "fail", "ok")
    await noted(stage, "effect")


async def another_worker(stage: Stage, mutant: str | None) -> None:
    """Start a worker while another worker runs an event."""
    stage.configure("deadline = '60s'")
    await start_worker(stage)
    done = stage.site.directory / "done.log"
    await defer(stage, "long", f"wait:{done}")
    await noted(stage, "attempt")
    other = await start_worker(stage, mutant)
    if mutant is not None:
        await noted(stage, "attempt", 2)
        await stage.kill(other)  # otherwise it keeps taking the events that other workers run
    done.touch()


async def pause_a_queue(stage: Stage, mutant: str | None) -> None:
    """Defer an event to a queue that is paused, and resume the queue."""
    await start_worker(stage, mutant)
    await pause(stage)
    await defer(stage, "paused", "ok")
    if mutant is not None:
        await noted(stage, "attempt")
    await resume(stage)
    await noted(stage, "effect")


ORDEALS: dict[str, tuple[Ordeal, str]] = {
    "ack before the effect": (crash_in_the_listener, LOST),
    "retry counted twice": (fail_once, "attempts not in the order of the policy"),
    "a live owner's lease taken": (another_worker, "more repeated runs than the faults allow"),
    "a paused queue begins one more": (pause_a_queue, "an event of a paused queue began"),
    "pauses not followed": (pause_a_queue, "an event of a paused queue began"),
}
"""By mutant: the ordeal, and the promise that the mutant breaks."""


@pytest.mark.parametrize("mutant", all_but_the_first_long(ORDEALS))
def test_the_mutant_is_caught(stages: Stages, mutant: str) -> None:
    """The judge names the promise that the mutant breaks."""
    ordeal, rule = ORDEALS[mutant]
    with stages.stage("sqlite") as stage:
        assert rule in asyncio.run(rules_broken(stage, ordeal, mutant))


@pytest.mark.parametrize("ordeal", all_but_the_first_long(dict.fromkeys(ordeal for ordeal, _ in ORDEALS.values())))
def test_the_program_passes(stages: Stages, ordeal: Ordeal) -> None:
    """The unchanged program breaks no promise in the same ordeal, which some mutants share."""
    with stages.stage("sqlite") as stage:
        assert asyncio.run(broken(stage, ordeal, None)) == []


def test_synchronous_off_is_caught(stages: Stages) -> None:
    """The mutant's `defer()` returns before the file is synced."""
    with stages.stage("sqlite") as stage:
        assert asyncio.run(_confirmed_unsynced(stage, "tests.faults.mutated", "synchronous=OFF", "publisher")) != []


def test_confirmed_events_are_synced(stages: Stages) -> None:
    """The file is synced before `defer()` returns."""
    with stages.stage("sqlite") as stage:
        assert asyncio.run(_confirmed_unsynced(stage, "tests.faults.publisher")) == []


async def _confirmed_unsynced(stage: Stage, module: str, *arguments: str) -> list[str]:
    """Trace a publisher; return the keys of the events that were confirmed before the file was synced."""
    trace, wal = stage.site.directory / "trace.log", stage.site.directory / "bridge.db-wal"
    traced = Program(
        [*STRACE, "-o", str(trace), sys.executable, "-m", module, *arguments, "p1", "4", "100"],
        stage.site.directory,
        stage.site.environment,
    )
    stage.publishers.append(traced)  # so that the report has strace's own message if it has no right to trace
    await noted(stage, "ok", 40)
    publisher = _first(stage.history(), "invoke")["pid"]
    await eventually(lambda: _ended(publisher), STEP, stage.report)
    await traced.ended(STEP)
    return unsynced(trace.read_text().splitlines(), wal, stage.path)


def _ended(pid: int) -> bool:
    """Send SIGTERM to a traced program; return True when it has ended. A thread that strace has stopped can miss the
    signal, so the caller repeats this."""
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return True
    return False


def _first(history: list[Record], what: str) -> Record:
    return next(record for record in history if record["what"] == what)
