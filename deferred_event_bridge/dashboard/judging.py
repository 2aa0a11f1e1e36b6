"""The judgement of the screen Now: whether each queue keeps up, and what is broken. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bridge.console.quantities import duration_text
from bridge.registry import Roll
from worker.control.readiness import late, why_not
from worker.operating.queue_acts import Overview, QueueLine

Level = Literal["good", "wait", "bad"]

SLOWLY = 3600.0
"""A backlog that takes longer than this many seconds to empty is worth a look."""

FEW = 50
"""Ready events that are no backlog."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of a queue: the level for its colour, and a sentence."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is broken, and the command or screen that helps. `level` is its urgency."""

    level: Level
    text: str
    screen: str | None = None


def judge(line: QueueLine, roll: Roll | None = None) -> Judgement:
    """Return what to think of a queue. `roll` is None as long as the workers were not asked."""
    if line.counts is None:
        return Judgement("wait", "not on the broker yet: no worker has declared it")
    ready = sum(line.counts.ready.values())
    if line.pauses:
        return Judgement("wait", line.pauses[0].reason)
    if ready and line.counts.consumers == 0:
        return Judgement("bad", "no worker takes events from it")
    if (held := _held(line.queue.name, roll)) is not None:
        return held
    if line.rates is None:
        return Judgement("good" if ready <= FEW else "wait", "measuring" if ready else "nothing waits")
    if ready <= FEW:
        return Judgement("good", "keeping up" if line.rates.into or line.rates.out or ready else "quiet")
    shrinking = line.rates.out - line.rates.into
    if not line.rates.out:
        return Judgement("bad", "stands still: no event was settled")
    if shrinking <= 0:
        return Judgement("bad", f"falling behind by {-shrinking:,.1f} a second")
    seconds = ready / shrinking
    return Judgement("good" if seconds < SLOWLY else "wait", f"catching up: empty in {duration_text(seconds)}")


def seconds_in_line(line: QueueLine) -> float | None:
    """Return about how long an event that comes now waits for its turn, by the present rate; None if unknown."""
    if line.counts is None or line.pauses or line.rates is None or not line.rates.out:
        return None
    return sum(line.counts.ready.values()) / line.rates.out


def _held(queue: str, roll: Roll | None) -> Judgement | None:
    """Return the judgement of a queue that breakers of its workers hold; None if no worker holds it."""
    workers = () if roll is None else roll.workers
    serving = [worker.serving.queues[queue] for worker in workers if queue in worker.serving.queues]
    holding = [each.breaker for each in serving if each.breaker is not None]
    if not holding:
        return None
    if len(holding) == len(serving):
        return Judgement("bad", f"held by {holding[0]}")
    return Judgement("wait", f"{len(holding)} of {len(serving)} workers hold it by {holding[0]}")


def troubles(overview: Overview, roll: Roll | None, now: datetime) -> Iterator[Trouble]:
    """Yield what is broken, the most urgent first. `roll` is None as long as the workers were not asked."""
    yield from () if roll is None else _of_workers(roll, now)
    for pause in overview.pauses:
        yield Trouble("wait", f"{pause.target}: {pause.reason}")
    if overview.skipped:
        yield Trouble("wait", f"{overview.skipped} records of controls are damaged or not signed, and do not count")


def _of_workers(roll: Roll, now: datetime) -> Iterator[Trouble]:
    if not roll.workers:
        yield Trouble("bad", "no worker answers: no event begins", "pool")
    for missing in roll.missing:
        gone = duration_text((now - missing.seen).total_seconds())
        yield Trouble("bad", f"worker {missing.host}:{missing.pid} is missing: last seen {gone} ago", "pool")
    for worker in roll.workers:
        if (why := why_not(worker)) is not None:
            yield Trouble("bad", f"worker {worker.host}:{worker.pid} is not ready: {why}", "pool")
        elif worker.trouble:
            yield Trouble("wait", f"worker {worker.host}:{worker.pid}: a child did not boot: {worker.trouble}", "pool")
        if (seconds := late(worker)) > 0:
            yield Trouble(
                "wait", f"worker {worker.host}:{worker.pid}: an event is {duration_text(seconds)} late", "pool"
            )
    for text in roll.unreadable:
        yield Trouble("wait", f"a worker answered, and cannot be shown: {text}")
