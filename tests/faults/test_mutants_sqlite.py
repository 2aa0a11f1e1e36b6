"""The judge must catch each mutant, on SQLite: an ordeal that aims at it, which the program itself passes."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import pytest

from tests.faults.directed import defer, noted, rules_broken
from tests.faults.history import Record
from tests.faults.rules import LOST
from tests.faults.stage import Stage
from tests.faults.stages import Stages
from tests.faults.syncs import STRACE, unsynced
from tests.journey.site import Program, eventually


async def crash_in_the_listener(stage: Stage, mutant: str | None) -> None:
    """The process that runs an event dies before the effect."""
    await stage.start_worker(mutant=mutant)
    await defer(stage, "crash", "die", "ok")
    await noted(stage, "attempt")
    stage.hurt("end of a child")


async def fail_once(stage: Stage, mutant: str | None) -> None:
    """An event fails, and succeeds when it is tried again."""
    await stage.start_worker(mutant=mutant)
    await defer(stage, "fail", "fail", "ok")
    await noted(stage, "effect")


async def another_worker(stage: Stage, mutant: str | None) -> None:
    """A worker starts while another one has an event in hand."""
    stage.configure("deadline = '60s'")
    await stage.start_worker()
    done = stage.site.directory / "done.log"
    await defer(stage, "long", f"wait:{done}")
    await noted(stage, "attempt")
    other = await stage.start_worker(mutant=mutant)
    if mutant is not None:
        await noted(stage, "attempt", 2)
        await stage.kill(other)  # or it would go on to take everything from everybody
    done.touch()


ORDEALS: dict[str, tuple[Callable[[Stage, str | None], Awaitable[None]], str]] = {
    "ack before the effect": (crash_in_the_listener, LOST),
    "retry counted twice": (fail_once, "attempts out of the policy's order"),
    "a live owner's lease taken": (another_worker, "ran twice more often than the hurts allow"),
}
"""By mutant: the ordeal, and the promise that it breaks."""


@pytest.mark.parametrize("mutant", ORDEALS)
def test_the_mutant_is_caught(stages: Stages, mutant: str) -> None:
    """The judge names the promise that the mutant breaks."""
    ordeal, rule = ORDEALS[mutant]
    with stages.stage("sqlite") as stage:
        assert rule in asyncio.run(rules_broken(stage, ordeal, mutant))


@pytest.mark.parametrize("mutant", ORDEALS)
def test_the_program_passes(stages: Stages, mutant: str) -> None:
    """The program itself breaks none in the same ordeal."""
    ordeal, _ = ORDEALS[mutant]
    with stages.stage("sqlite") as stage:
        assert asyncio.run(rules_broken(stage, ordeal, None)) == []


def test_synchronous_off_is_caught(stages: Stages) -> None:
    """Events of the mutant are confirmed before the kernel was told to bring them to the disk."""
    with stages.stage("sqlite") as stage:
        assert asyncio.run(_confirmed_unsynced(stage, "tests.faults.mutated", "synchronous=OFF", "publisher")) != []


def test_what_is_confirmed_is_on_the_disk(stages: Stages) -> None:
    """Between `defer()` and its return, the file was synced."""
    with stages.stage("sqlite") as stage:
        assert asyncio.run(_confirmed_unsynced(stage, "tests.faults.publisher")) == []


async def _confirmed_unsynced(stage: Stage, module: str, *arguments: str) -> list[str]:
    """Trace a publisher, and return the keys of the events that were confirmed too early."""
    trace, wal = stage.site.directory / "trace.log", stage.site.directory / "bridge.db-wal"
    traced = Program(
        [*STRACE, "-o", str(trace), sys.executable, "-m", module, *arguments, "p1", "4", "100"],
        stage.site.directory,
        stage.site.environment,
    )
    stage.publishers.append(traced)  # what it prints is in the report: strace says so where it may not trace
    await noted(stage, "ok", 40)
    publisher = _first(stage.history(), "invoke")["pid"]
    await eventually(lambda: _ended(publisher), 60.0, stage.report)
    await traced.ended()
    return unsynced(trace.read_text().splitlines(), wal, stage.path)


def _ended(pid: int) -> bool:
    """Ask a traced program to end: more than once, for a thread that strace holds up hears nothing."""
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return True
    return False


def _first(history: list[Record], what: str) -> Record:
    return next(record for record in history if record["what"] == what)
