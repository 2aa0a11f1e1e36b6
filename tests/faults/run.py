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
from datetime import UTC, datetime

from tests.faults import results
from tests.faults.catalogue import ordeals
from tests.faults.ordeal import HELD, Fault, Load, Verdict, named, undergo
from tests.faults.results import Row
from tests.faults.stages import Stages

BETWEEN = 1000
"""Effects between two hurts, so that most of the time is load and not the start of programs."""

HOLD = 20.0
"""Seconds that a wound is held open."""


def main() -> int:
    """Run what was asked for, write the table, and return the exit code."""
    asked = _arguments()
    chosen = [
        (on, faults)
        for on, faults in ordeals()
        if not asked.fault or any(part in fault.name for part in asked.fault for fault in faults)
    ]
    load = Load(max(1, asked.events // len(chosen)), asked.rate, asked.seconds, between=BETWEEN)
    began, waiting = time.monotonic(), deque(chosen)
    runs, earlier = results.read() if asked.fault else ([], [])
    rows = {row.ordeal: row for row in earlier}

    def work() -> None:
        with Stages(HOLD, asked.seed) as stages:
            while waiting:
                row = _row(stages, *waiting.popleft(), load)
                rows[row.ordeal] = row
                print(row, flush=True)
                in_order = [rows[key] for on, faults in ordeals() if (key := (named(faults), on)) in rows]
                results.write([*runs, _told(asked, time.monotonic() - began)], in_order)

    with ThreadPoolExecutor(asked.jobs) as threads:
        for job in [threads.submit(work) for _ in range(asked.jobs)]:
            job.result()
    return 0 if all(row.cells[-1] == HELD for row in rows.values()) else 1


def _row(stages: Stages, on: str, faults: Sequence[Fault], load: Load) -> Row:
    name = named(faults)
    with stages.stage(on) as stage:
        try:
            hurts, figures, breaches = _judged(asyncio.run(undergo(stage, load, *faults)))
        except Exception as error:  # whatever keeps one ordeal from its end, the others are run
            print(error, flush=True)
            why = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}".replace("|", "/")
            return Row((name, on, *[""] * 8, f"stuck: {why}"))
        if breaches:
            print(stage.report(), flush=True)
        return Row((name, on, hurts, *figures, breaches or HELD))


def _judged(verdict: Verdict) -> tuple[str, Sequence[str], str]:
    """Return a verdict as it is shown: the hurts, the figures, the breaches."""
    found = verdict.figures
    counts = (found.events, found.deliveries, found.repeats, found.dead, found.lost)
    figures = [*(f"{count:,}" for count in counts), f"{found.longest_defer:.2f} s", f"{found.longest_silence:.1f} s"]
    return str(verdict.hurts), figures, "; ".join(map(str, verdict.breaches)).replace("|", "/")


def _told(asked: argparse.Namespace, seconds: float) -> str:
    """Return the run in a sentence."""
    rabbitmq = subprocess.run(["rabbitmqctl", "version"], capture_output=True, text=True, check=False).stdout.strip()
    options = f"--events {asked.events} --seconds {asked.seconds:g} --seed {asked.seed} --jobs {asked.jobs}"
    command = " ".join((f"python -m tests.faults.run {options}", *(f'"{part}"' for part in asked.fault)))
    versions = f"CPython {platform.python_version()}, RabbitMQ {rabbitmq}"
    return f"`{command}` on {datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} minutes, {versions}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="in all, over all ordeals")
    parser.add_argument("--seconds", type=float, default=60.0, help="the longest load of one ordeal")
    parser.add_argument("--rate", type=float, default=2000.0, help="requests a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="ordeals at a time")
    parser.add_argument("fault", nargs="*", help="a part of a fault's name: only these, in the place of their rows")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
