"""Faults of the network between the programs and RabbitMQ, made by a proxy."""

import asyncio
from collections.abc import Callable

from tests.faults.ordeal import Fault
from tests.faults.stage import Stage

LATENCY = 0.3


async def reset(stage: Stage) -> None:
    """Every connection is reset."""
    stage.cut_off_all("reset")
    stage.proxy.reset()


async def black_hole(stage: Stage) -> None:
    """Nothing arrives any more, and nobody is told."""
    stage.cut_off_all("black hole")
    await _for_a_while(stage, stage.proxy.black_hole)


async def delay(stage: Stage) -> None:
    """Everything arrives later."""
    stage.hurt("300 ms latency")
    await _for_a_while(stage, lambda: stage.proxy.latency(LATENCY))


async def trickle(stage: Stage) -> None:
    """Everything comes one byte at a time."""
    stage.hurt("1 byte at a time")
    await _for_a_while(stage, stage.proxy.trickle)


async def lose_the_broker(stage: Stage) -> None:
    """The broker's end of every connection is gone, and the programs are not told."""
    stage.cut_off_all("half-open: the programs are not told")
    stage.proxy.half_open(told="server")


async def lose_the_programs(stage: Stage) -> None:
    """The programs' end of every connection is gone, and the broker is not told: it keeps what they held."""
    stage.cut_off_all("half-open: the broker is not told")
    stage.proxy.half_open(told="client")


async def _for_a_while(stage: Stage, begin: Callable[[], None]) -> None:
    begin()
    try:
        await asyncio.sleep(stage.hold)
    finally:
        stage.proxy.clear()


BROKEN = (
    Fault("reset", reset, on=("proxied",)),
    Fault("half-open, programs not told", lose_the_broker, on=("proxied",)),
    Fault("half-open, broker not told", lose_the_programs, on=("proxied",)),
)
SLOW = (
    Fault("black hole", black_hole, on=("proxied",)),
    Fault("300 ms latency", delay, on=("proxied",)),
    Fault("1 byte at a time", trickle, on=("proxied",)),
)
FAULTS = (*BROKEN, *SLOW)
SHORT = (BROKEN, SLOW)
