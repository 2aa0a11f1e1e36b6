"""One ordeal: programs under load, something that hurts them again and again, the drain, and the judgement."""

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
"""What is said of an ordeal in which every promise held."""

TERMS = Terms(ATTEMPTS, WAITS, BUDGET)

BOTH = ("sqlite", "rabbitmq")
"""The stages of both brokers."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that can be done to a stage. `hurt` does it once, notes what it may cause, and returns when the wound
    is closed; it is done again for as long as there is load. `on` names the stages that it is for (`stages.py`),
    `settings` are lines of bridge.toml."""

    name: str
    hurt: Callable[[Stage], Awaitable[None]]
    on: Sequence[str]
    terms: Terms = TERMS
    workers: int = 1
    settings: tuple[str, ...] = ()


def named(faults: Iterable[Fault]) -> str:
    """Return the name of what is done at the same time."""
    return " and ".join(fault.name for fault in faults)


def terms_of(faults: Iterable[Fault]) -> Terms:
    """Return what is promised while these are done at the same time: waits are judged where none of them moves the
    broker's clock, and requests may be refused where none of them brings a spool. Raise `ValueError` where their terms
    differ otherwise."""
    terms = [fault.terms for fault in faults]
    timed, refusing = all(each.timed for each in terms), all(each.refusing for each in terms)
    combined = {replace(each, timed=timed, refusing=refusing) for each in terms}
    if len(combined) > 1:
        raise ValueError(f"expected one policy and one budget, got {combined}")
    return combined.pop()


def alone(faults: Iterable[Fault]) -> tuple[tuple[Fault, ...], ...]:
    """Return each of these as a group of its own."""
    return tuple((fault,) for fault in faults)


def in_turn(faults: Sequence[Fault]) -> Fault:
    """Return a fault that is a group of them, for one stage: one after the other, each when all works again."""
    if len(faults) == 1:
        return faults[0]

    async def hurt(stage: Stage) -> None:
        for fault in faults:
            await fault.hurt(stage)
            await stage.reaches("effect", 20)

    first = faults[0]
    assert {(fault.terms, fault.workers, fault.settings) for fault in faults} == {
        (first.terms, first.workers, first.settings)
    }
    return replace(first, name=", ".join(fault.name for fault in faults), hurt=hurt)


@dataclass(frozen=True, slots=True)
class Load:
    """So many events, at this rate a second, by so many publishers, for at most so many seconds; and at least one hurt,
    however long it takes, with so many effects behind each."""

    events: int
    rate: float
    seconds: float = 60.0
    publishers: int = 2
    between: int = 20


class Verdict(NamedTuple):
    """What the judge says of an ordeal."""

    breaches: list[Breach]
    figures: Figures
    hurts: int


async def undergo(stage: Stage, load: Load, *faults: Fault) -> Verdict:
    """Put a stage through faults, all at once where there are several, and judge it."""
    terms = terms_of(faults)
    stage.configure(*(line for fault in faults for line in fault.settings))
    for _ in range(max(fault.workers for fault in faults)):
        await stage.start_worker()
    stage.rate = load.rate / load.publishers
    for _ in range(load.publishers):
        stage.start_publisher()
    await stage.reaches("effect", 20)
    hurts = await asyncio.gather(*(_again_and_again(fault, stage, load) for fault in faults))
    await drain(stage)
    history = stage.history()
    return Verdict(judge(history, terms), figures(history, terms), sum(hurts))


async def _again_and_again(fault: Fault, stage: Stage, load: Load) -> int:
    hurts, end = 0, time.monotonic() + load.seconds
    while not hurts or (stage.count("invoke") < load.events and time.monotonic() < end):
        await fault.hurt(stage)
        hurts += 1
        await stage.reaches("effect", load.between)  # it works again
    return hurts
