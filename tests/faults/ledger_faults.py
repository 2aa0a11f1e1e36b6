"""Faults while somebody decides about dead letters."""

import asyncio

from tests.faults.directed import defer
from tests.faults.ordeal import BOTH, Fault, alone
from tests.faults.stage import Stage
from tests.journey.site import Program, eventually

LETTERS = 40
"""Dead letters that are there at least when a redrive begins, so that it can be killed in the midst of them."""

UNDER_WAY = 0.15
"""Seconds after its first letter in which a redrive is killed."""

REFUSED = 3
"""The exit code of `bridge-dlq` where another one decides: RabbitMQ may not know yet that it is gone."""


async def kill_redrive(stage: Stage) -> None:
    """`bridge-dlq` is killed while it redrives, and the same command goes on with what is left."""
    failures = stage.count("failure") + LETTERS
    await defer(stage, f"letter{failures}", "reject", count=LETTERS)
    await eventually(lambda: stage.count("failure") >= failures, 60.0, stage.report)
    killed = _redrive(stage)
    await eventually(lambda: '"redriven"' in killed.log or killed.process.poll() is not None, 30.0, lambda: killed.log)
    await asyncio.sleep(stage.dice.uniform(0.0, UNDER_WAY))
    killed.process.kill()
    await killed.ended()
    stage.hurt("SIGKILL of bridge-dlq", copies=1, killed=(killed.process.pid,))
    while await (rest := _redrive(stage)).ended() == REFUSED:
        pass
    assert rest.process.returncode == 0, rest.log


def _redrive(stage: Stage) -> Program:
    return stage.site.run("bridge-dlq", "redrive", "--all", "--yes", "--json")


FAULTS = (Fault("redrive amid SIGKILL of bridge-dlq", kill_redrive, on=BOTH),)
SHORT = alone(FAULTS)
