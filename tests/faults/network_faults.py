"""Faults of the network between the programs and RabbitMQ, made by a proxy."""

import asyncio
from collections.abc import Callable

from tests.faults.ordeal import Fault
from tests.faults.stage import Stage

LATENCY = 0.3


async def reset(stage: Stage) -> None:
    """Reset every connection."""
    stage.cut_off_all("reset")
    stage.proxy.reset()


async def black_hole(stage: Stage) -> None:
    """Let no bytes arrive in either direction, without an error for either side."""
    stage.cut_off_all("black hole")
    await _for_a_while(stage, stage.proxy.black_hole)


async def delay(stage: Stage) -> None:
    """Let all bytes arrive 300 ms later."""
    stage.hurt("300 ms latency")
    await _for_a_while(stage, lambda: stage.proxy.latency(LATENCY))


async def trickle(stage: Stage) -> None:
    """Let the bytes arrive one at a time."""
    stage.hurt("1 byte at a time")
    await _for_a_while(stage, stage.proxy.trickle)


async def lose_the_broker(stage: Stage) -> None:
    """End the broker's side of every connection without an error for the programs."""
    stage.cut_off_all("half-open, programs not informed")
    stage.proxy.half_open(told="server")


async def lose_the_programs(stage: Stage) -> None:
    """End the programs' side of every connection without an error for the broker, which keeps their deliveries."""
    stage.cut_off_all("half-open, broker not informed")
    stage.proxy.half_open(told="client")


async def _for_a_while(stage: Stage, begin: Callable[[], None]) -> None:
    begin()
    try:
        await asyncio.sleep(stage.hold)
    finally:
        stage.proxy.clear()


BROKEN = (
    Fault("reset", reset, on=("proxied",)),
    Fault("half-open, programs not informed", lose_the_broker, on=("proxied",)),
    Fault("half-open, broker not informed", lose_the_programs, on=("proxied",)),
)
SLOW = (
    Fault("black hole", black_hole, on=("proxied",)),
    Fault("300 ms latency", delay, on=("proxied",)),
    Fault("1 byte at a time", trickle, on=("proxied",)),
)
FAULTS = (*BROKEN, *SLOW)
SHORT = (BROKEN, SLOW)
