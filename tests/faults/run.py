"""`make faults`: every ordeal at length, and what came of it in RESULTS.md. Not a test: the short ordeals are.

Run as ``python -m tests.faults.run [--events N] [--seconds N] [--seed N] [FAULT …]``; it exits with 1 where a promise
was broken.
"""

import argparse
import asyncio
import platform
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.catalogue import ordeals
from tests.faults.ordeal import Fault, Load, Verdict, undergo
from tests.faults.stages import Stages

RESULTS = Path(__file__).with_name("RESULTS.md")

BETWEEN = 1000
"""Effects between two hurts, so that most of the time is load and not the start of programs."""

HOLD = 20.0
"""Seconds that a wound is held open."""

COLUMNS = (
    "fault",
    "on",
    "hurts",
    "events",
    "deliveries",
    "ran twice",
    "dead letters",
    "lost",
    "longest `defer()`",
    "longest silence",
    "verdict",
)


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one ordeal. `stuck` is why it could not be judged, where it could not."""

    faults: Sequence[Fault]
    on: str
    verdict: Verdict | None
    stuck: str = ""

    @property
    def held(self) -> bool:
        """Whether every promise did."""
        return self.verdict is not None and not self.verdict.breaches

    def __str__(self) -> str:
        names = " and ".join(fault.name for fault in self.faults)
        if self.verdict is None:
            return f"| {names} | {self.on} | | | | | | | | | stuck: {self.stuck} |"
        figures = self.verdict.figures
        said = "; ".join(map(str, self.verdict.breaches)) or "held"
        return (
            f"| {names} | {self.on} | {self.verdict.hurts} | {figures.events:,} | {figures.deliveries:,} |"
            f" {figures.repeats} | {figures.dead:,} | {figures.lost} | {figures.longest_defer:.2f} s |"
            f" {figures.longest_silence:.1f} s | {said} |"
        )


def main() -> int:
    """Run what was asked for, write the table, and return the exit code."""
    asked = _arguments()
    chosen = [
        (on, faults)
        for on, faults in ordeals()
        if not asked.fault or any(part in fault.name for part in asked.fault for fault in faults)
    ]
    load = Load(max(1, asked.events // len(chosen)), asked.rate, asked.seconds, between=BETWEEN)
    began, rows = time.monotonic(), dict[int, Row]()
    waiting = deque(enumerate(chosen))

    def work() -> None:
        with Stages(HOLD, asked.seed) as stages:
            while waiting:
                place, (on, faults) = waiting.popleft()
                rows[place] = row = _one(stages, on, faults, load)
                print(row, flush=True)
                if not asked.fault:
                    RESULTS.write_text(_page([rows[key] for key in sorted(rows)], asked, time.monotonic() - began))

    with ThreadPoolExecutor(asked.jobs) as threads:
        for job in [threads.submit(work) for _ in range(asked.jobs)]:
            job.result()
    events = sum(row.verdict.figures.events for row in rows.values() if row.verdict is not None)
    if events < asked.events:
        print(f"{events:,} events were published in the time, and not {asked.events:,}: give more SECONDS or EVENTS")
    return 0 if events >= asked.events and all(row.held for row in rows.values()) else 1


def _one(stages: Stages, on: str, faults: Sequence[Fault], load: Load) -> Row:
    with stages.stage(on) as stage:
        try:
            verdict = asyncio.run(undergo(stage, load, *faults))
        except Exception as error:  # whatever keeps one ordeal from its end, the others are run
            print(error, flush=True)
            return Row(faults, on, None, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}")
        if verdict.breaches:
            print(stage.report(), flush=True)
        return Row(faults, on, verdict)


def _page(rows: Sequence[Row], asked: argparse.Namespace, seconds: float) -> str:
    table = "\n".join((f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *map(str, rows)))
    verdicts = [row.verdict for row in rows if row.verdict is not None]
    events = sum(verdict.figures.events for verdict in verdicts)
    lost = sum(verdict.figures.lost for verdict in verdicts)
    broken = sum(not row.held for row in rows)
    rabbitmq = subprocess.run(["rabbitmqctl", "version"], capture_output=True, text=True, check=False).stdout.strip()
    command = f"make faults EVENTS={asked.events} SECONDS={asked.seconds:g} SEED={asked.seed} JOBS={asked.jobs}"
    return f"""\
# What the faults came to

`{command}` on {datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} minutes, CPython {platform.python_version()}, \
RabbitMQ {rabbitmq}.

{len(rows)} ordeals, {events:,} events, {lost} lost; {broken} ordeals in which a promise was broken.

A wound that has a length is held open for {HOLD:g} s. *Ran twice* counts events; what each hurt allows is in the
history that the judge reads. *Lost* leaves out what an operator deleted together with a queue. *Longest silence* is
the longest time without any event's effect.

{table}
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="in all, over all ordeals")
    parser.add_argument("--seconds", type=float, default=60.0, help="the longest load of one ordeal")
    parser.add_argument("--rate", type=float, default=2000.0, help="requests a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="ordeals at a time")
    parser.add_argument("fault", nargs="*", help="a part of a fault's name: only these, and RESULTS.md stays as it is")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
