"""Faults while `bridge-dlq` decides about dead letters."""

import asyncio

from tests.faults.directed import defer
from tests.faults.limits import STEP
from tests.faults.ordeal import BOTH, Fault, alone
from tests.faults.stage import Stage
from tests.journey.site import Program, eventually

LETTERS = 40
"""The least number of open dead letters when a redrive begins, so that it can be killed before it has redriven all."""

UNDER_WAY = 0.15
"""A redrive is killed within this many seconds after its first letter."""

REFUSED = 3
"""The exit code of `bridge-dlq` while another one holds the right to decide. RabbitMQ may not have noticed yet that the
other one has ended."""


async def kill_redrive(stage: Stage) -> None:
    """Kill `bridge-dlq` while it redrives, and run the same command again for the letters that are still open."""
    failures = stage.count("failure") + LETTERS
    await defer(stage, f"letter{failures}", "reject", count=LETTERS)
    await eventually(lambda: stage.count("failure") >= failures, STEP, stage.report)
    killed = _redrive(stage)
    await eventually(lambda: '"redriven"' in killed.log or killed.process.poll() is not None, STEP, lambda: killed.log)
    await asyncio.sleep(stage.dice.uniform(0.0, UNDER_WAY))
    killed.process.kill()
    await killed.ended(STEP)
    stage.hurt("SIGKILL of bridge-dlq", copies=1, killed=(killed.process.pid,))
    while await (second := _redrive(stage)).ended(STEP) == REFUSED:
        pass
    assert second.process.returncode == 0, second.log


def _redrive(stage: Stage) -> Program:
    return stage.site.run("bridge-dlq", "redrive", "--all", "--yes", "--json")


FAULTS = (Fault("SIGKILL of bridge-dlq during a redrive", kill_redrive, on=BOTH),)
SHORT = alone(FAULTS)
