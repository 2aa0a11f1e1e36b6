"""Publishing from several threads and processes, and many events at once.

`python -m benchmarks.further.publishing NAME COUNT` is a process that publishes: it connects, prints a line, waits for
a line, publishes, and prints when it began and ended. COUNT `many` is one `defer_many()` of this project.
"""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contender import URL, Send
from benchmarks.contenders import contender
from benchmarks.figures import spread
from benchmarks.report import Row, Table
from benchmarks.scale import Scale
from tests.rabbitmq_node import RabbitNode

PROCESSES, THREADS = 2, 8
MANY = 10_000
CONFIRMED = ("bridge-rabbitmq", "dramatiq-confirming", "celery-confirming", "bridge-sqlite", "huey-fsync")
GOALS = {"bridge-sqlite": 0.6, "bridge-rabbitmq": 1.5}
"""Seconds that `defer_many()` may take on the reference."""
ROOT = Path(__file__).parents[2]


def measure(directory: Path, scale: Scale) -> Table:
    """Publish with each, by turns."""
    rates: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        node = stack.enter_context(RabbitNode())

        def url(name: str) -> str:
            if contender(name).broker == "rabbitmq":
                return node.new_vhost()
            return f"sqlite:///{directory}/{name}-{time.monotonic_ns()}.db"

        for _ in range(scale.rounds):
            for name in CONFIRMED:
                each = scale.events // PROCESSES
                rates[name].append(each * PROCESSES / _seconds(name, url(name), str(each), PROCESSES))
            for name in GOALS:
                seconds[name].append(_seconds(name, url(name), "many", 1))
    ours = {contender(name).broker: rates[name] for name in GOALS}
    return Table(
        "Publishing",
        f"{scale.events:,} confirmed sends from {PROCESSES} processes with {THREADS} threads each, by turns, in "
        f"{scale.rounds} round(s); and one `defer_many()` of {MANY:,} events, which returns when all are confirmed.",
        (
            ("who", "kept in", "sends/s", "this project ÷ it", f"seconds for {MANY:,} at once", "goal"),
            *(_row(name, rates[name], ours[contender(name).broker], seconds[name]) for name in CONFIRMED),
        ),
    )


def _row(name: str, rates: Sequence[float], ours: Sequence[float], seconds: Sequence[float]) -> Row:
    ratios = [] if rates is ours else [mine / its for mine, its in zip(ours, rates, strict=True)]
    goal = f"≤ {GOALS[name]:g}" if name in GOALS else ""
    found = contender(name)
    return found.name, found.promise.kept, spread(rates, 0), spread(ratios, 2), spread(seconds, 2), goal


def _seconds(name: str, url: str, count: str, processes: int) -> float:
    """Return the time from the first beginning to the last end of processes that publish at the same time."""
    environment = {**os.environ, **contender(name).environment, URL: url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", __name__, name, count]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(processes)
        ]
        for process in started:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RuntimeError(f"{name}: the process that publishes ended; its error is above")
        outputs = list(ThreadPoolExecutor(processes).map(lambda process: process.communicate("go\n")[0], started))
    times = [tuple(map(float, output.split())) for output in outputs]
    return max(end for _, end in times) - min(begin for begin, _ in times)


def _main(name: str, count: str) -> None:
    with contender(name).sending() as send, ThreadPoolExecutor(THREADS) as threads:
        publish = _many() if count == "many" else _single(send, threads, int(count))
        list(threads.map(send, [time.monotonic()] * THREADS * 2))  # connects
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        publish()
        print(began, time.monotonic(), flush=True)


def _single(send: Send, threads: ThreadPoolExecutor, count: int) -> Callable[[], object]:
    return lambda: list(threads.map(send, [time.monotonic()] * count))


def _many() -> Callable[[], object]:
    from benchmarks.contenders.bridge_flask import events

    return lambda: events.defer_many(("benchmark.sent", float(number)) for number in range(MANY))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
