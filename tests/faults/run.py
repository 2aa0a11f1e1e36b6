"""`make faults`: runs every ordeal at full length and writes RESULTS.md. The test suite has the short ordeals.

Run as ``python -m tests.faults.run [--events N] [--seconds N] [--seed N] [--on STAGE …] [--table FILE] [FAULT …]``. It
exits with 1 if a promise was broken.
"""

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from tests.faults import results
from tests.faults.catalogue import ordeals
from tests.faults.ordeal import HELD, Fault, Judgement, Load, named, undergo
from tests.faults.results import Row
from tests.faults.stages import Stages

BETWEEN = 1000
"""Effects between two faults, so that the programs spend most of the time on events and not on their start."""

HOLD = 20.0
"""The duration of a fault that lasts, in seconds."""


def main() -> int:
    """Run the ordeals that the command line names, write the table, and return the exit code."""
    options = _arguments()
    chosen = [
        (on, faults)
        for on, faults in ordeals()
        if (not options.fault or any(part in fault.name for part in options.fault for fault in faults))
        and (not options.on or on in options.on)
    ]
    load = Load(max(1, options.events // len(chosen)), options.rate, options.seconds, between=BETWEEN)
    began, pending = time.monotonic(), deque(chosen)
    runs, earlier = results.read(options.table) if options.fault else ([], [])
    rows = {row.ordeal: row for row in earlier}

    def work() -> None:
        with Stages(HOLD, options.seed) as stages:
            while pending:
                row = _row(stages, *pending.popleft(), load)
                rows[row.ordeal] = row
                print(row, flush=True)
                in_order = [rows[key] for on, faults in ordeals() if (key := (named(faults), on)) in rows]
                results.write(options.table, [*runs, _described(options, time.monotonic() - began)], in_order)

    with ThreadPoolExecutor(options.jobs) as threads:
        for job in [threads.submit(work) for _ in range(options.jobs)]:
            job.result()
    return 0 if all(row.cells[-1] == HELD for row in rows.values()) else 1


def _row(stages: Stages, on: str, faults: Sequence[Fault], load: Load) -> Row:
    name = named(faults)
    try:
        with stages.stage(on) as stage:
            hurts, figures, breaches = _judged(asyncio.run(undergo(stage, load, *faults)))
            if breaches:
                print(stage.report(), flush=True)
            return Row((name, on, hurts, *figures, breaches or HELD))
    except Exception as error:  # the other ordeals run all the same
        print("".join(traceback.format_exception(error)), flush=True)
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}".replace("|", "/")
        return Row((name, on, *[""] * 8, f"stuck: {why}"))


def _judged(verdict: Judgement) -> tuple[str, Sequence[str], str]:
    """Return the cells of a verdict: the number of faults done, the figures, the broken promises."""
    found = verdict.figures
    counts = (found.events, found.deliveries, found.repeats, found.dead, found.lost)
    figures = [*(f"{count:,}" for count in counts), f"{found.longest_defer:.2f} s", f"{found.longest_silence:.1f} s"]
    return str(verdict.hurts), figures, "; ".join(map(str, verdict.breaches)).replace("|", "/")


def _described(options: argparse.Namespace, seconds: float) -> str:
    """Return the line about this run: its command, date, duration and versions."""
    rabbitmqctl = Path(os.environ.get("RABBITMQ_SERVER", "rabbitmq-server")).with_name("rabbitmqctl")
    rabbitmq = subprocess.run([rabbitmqctl, "version"], capture_output=True, text=True, check=False).stdout.strip()
    flags = f"--events {options.events} --seconds {options.seconds:g} --seed {options.seed} --jobs {options.jobs}"
    stages = (f"--on {stage}" for stage in options.on)
    command = " ".join((f"python -m tests.faults.run {flags}", *stages, *(f'"{part}"' for part in options.fault)))
    versions = f"CPython {platform.python_version()}, RabbitMQ {rabbitmq}"
    return f"`{command}` on {datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} minutes, {versions}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of all ordeals together")
    parser.add_argument("--seconds", type=float, default=60.0, help="most seconds of load for one ordeal")
    parser.add_argument("--rate", type=float, default=2000.0, help="requests a second in one ordeal")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="ordeals that run at the same time")
    parser.add_argument("--on", action="append", default=[], help="run only the ordeals on this stage; may be repeated")
    parser.add_argument("--table", type=Path, default=results.TABLE, help="the file of the results")
    parser.add_argument("fault", nargs="*", help="run only faults whose name contains this, and keep the other rows")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
