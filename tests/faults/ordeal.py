"""One ordeal: programs under load, a fault that is done to them again and again, the drain, and the judgement."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.faults.account import Terms
from tests.faults.drain import drain
from tests.faults.judge import Breach, Figures, figures, judge
from tests.faults.stage import ATTEMPTS, BUDGET, WAITS, Stage

HELD = "held"
"""The verdict on an ordeal in which every promise held."""

TERMS = Terms(ATTEMPTS, WAITS, BUDGET)

BOTH = ("sqlite", "rabbitmq")
"""The stages of both brokers."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that can be done to a stage.

    `hurt` does it once, notes in the history what it may cause, and returns when the fault is repaired; it is repeated
    as long as there is load. `on` names the stages that the fault applies to (`stages.py`). `settings` are lines of
    bridge.toml. `workers` and `relays` of the site run when the fault is done.
    """

    name: str
    hurt: Callable[[Stage], Awaitable[None]]
    on: Sequence[str]
    terms: Terms = TERMS
    workers: int = 1
    relays: int = 0
    settings: tuple[str, ...] = ()


def named(faults: Iterable[Fault]) -> str:
    """Return one name for faults that are done at the same time."""
    return " and ".join(fault.name for fault in faults)


def terms_of(faults: Iterable[Fault]) -> Terms:
    """Return the promises that hold while these faults are done at the same time. Waits are judged if no fault changes
    the broker's clock; `defer()` may raise if no fault uses a spool. Raise `ValueError` if the terms differ in anything
    else."""
    terms = [fault.terms for fault in faults]
    timed, refusing = all(each.timed for each in terms), all(each.refusing for each in terms)
    combined = {replace(each, timed=timed, refusing=refusing) for each in terms}
    if len(combined) > 1:
        raise ValueError(f"expected one policy and one budget, got {combined}")
    return combined.pop()


def alone(faults: Iterable[Fault]) -> tuple[tuple[Fault, ...], ...]:
    """Return one group for each fault."""
    return tuple((fault,) for fault in faults)


def in_turn(faults: Sequence[Fault]) -> Fault:
    """Return one fault that does these one after the other, each when events run again."""
    if len(faults) == 1:
        return faults[0]

    async def hurt(stage: Stage) -> None:
        for fault in faults:
            await fault.hurt(stage)
            await stage.reaches("effect", 20)

    first = faults[0]
    assert {(fault.terms, fault.workers, fault.relays, fault.settings) for fault in faults} == {
        (first.terms, first.workers, first.relays, first.settings)
    }
    return replace(first, name=", ".join(fault.name for fault in faults), hurt=hurt)


@dataclass(frozen=True, slots=True)
class Load:
    """The load of an ordeal: `events` in total, at `rate` a second, by `publishers`, for at most `seconds`.

    A fault is done at least once, even if that takes longer. `between` is the number of effects between two faults.
    """

    events: int
    rate: float
    seconds: float = 60.0
    publishers: int = 2
    between: int = 20


class Judgement(NamedTuple):
    """The judge's verdict on an ordeal, and how many times a fault was done."""

    breaches: list[Breach]
    figures: Figures
    hurts: int


async def undergo(stage: Stage, load: Load, *faults: Fault) -> Judgement:
    """Do faults to a stage under load, all of them at the same time, and judge the history."""
    terms = terms_of(faults)
    stage.configure(*(line for fault in faults for line in fault.settings))
    for _ in range(max(fault.workers for fault in faults)):
        await stage.start_worker()
    for _ in range(max(fault.relays for fault in faults)):
        await stage.start_relay()
    stage.rate = load.rate / load.publishers
    for _ in range(load.publishers):
        stage.start_publisher()
    await stage.reaches("effect", 20)
    hurts = await asyncio.gather(*(_again_and_again(fault, stage, load) for fault in faults))
    await drain(stage)
    history = stage.history()
    return Judgement(judge(history, terms), figures(history, terms), sum(hurts))


async def _again_and_again(fault: Fault, stage: Stage, load: Load) -> int:
    hurts, end = 0, time.monotonic() + load.seconds
    while not hurts or (stage.count("invoke") < load.events and time.monotonic() < end):
        await fault.hurt(stage)
        hurts += 1
        await stage.reaches("effect", load.between)  # events run again
    return hurts
