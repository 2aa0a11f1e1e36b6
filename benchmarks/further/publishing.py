"""Publishing alone: one event at a time, from many threads and processes, and many events at once."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import cast

from benchmarks.contender import URL, Contender, Send
from benchmarks.contenders.bridge_flask import events
from benchmarks.figures import spread
from benchmarks.report import Table
from benchmarks.scale import Scale
from tests.rabbitmq_node import RabbitNode

ONE_BY_ONE, FIRST = 1_000, 200
PROCESSES, THREADS, EACH = 2, 8, 500
MANY = 10_000

_FILES = {"bridge-rabbitmq": "bridge_flask", "dramatiq-confirming": "dramatiq_threads", "bridge-sqlite": "bridge_flask"}
Figures = dict[str, list[float]]


def measure(directory: Path, scale: Scale) -> Table:
    """Measure each publisher in processes of its own, against one RabbitMQ node or one file, by turns."""
    found: dict[str, Figures] = {name: defaultdict(list) for name in _FILES}
    with RabbitNode() as node:
        for number in range(scale.rounds):
            for name in _FILES:
                place = directory / f"{name}-{number}"
                place.mkdir(parents=True)
                url = f"sqlite:///{place}/bridge.db" if name == "bridge-sqlite" else node.new_vhost()
                for key, figure in _round(name, url).items():
                    found[name][key].append(figure)
    return Table(
        "Publishing",
        f"Each send returns when the event is confirmed by a quorum queue or synced. {ONE_BY_ONE:,} sends one after "
        f"the other; {PROCESSES} processes with {THREADS} threads each; `defer_many()` with {MANY:,} events. "
        f"{scale.rounds} rounds by turns.",
        (
            ("who", "p50, ms", "p99, ms", "CPU, µs", f"{THREADS} threads, {PROCESSES} processes, events/s", "many, s"),
            *((_contender(name).name, *_row(figures)) for name, figures in found.items()),
        ),
    )


def _row(found: Figures) -> tuple[str, ...]:
    digits = {"p50": 2, "p99": 2, "cpu": 0, "rate": 0, "many": 2}
    return tuple(spread(found[key], places) if found[key] else "" for key, places in digits.items())


def _round(name: str, url: str) -> dict[str, float]:
    alone = _in_processes(1, name, "alone", url)[0]
    began = time.monotonic()
    crowd = _in_processes(PROCESSES, name, "crowd", url)
    sends = PROCESSES * THREADS * EACH
    rate = sends / (max(each["ended"] for each in crowd) - min(each["began"] for each in crowd))
    print(f"{name}: {alone}, {rate:,.0f}/s, {time.monotonic() - began:.1f} s", file=sys.stderr)
    return {**alone, "rate": rate}


def _in_processes(count: int, name: str, part: str, url: str) -> list[dict[str, float]]:
    environment = {**os.environ, **_contender(name).environment, URL: url, "BRIDGE_PUBLISH_TIMEOUT": "60s"}
    command = [sys.executable, "-m", __name__, name, part]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return [json.loads(each.communicate()[0].splitlines()[-1]) for each in running]


def _contender(name: str) -> Contender:
    module = import_module(f"benchmarks.contenders.{_FILES[name]}")
    return cast("Contender", module.CONTENDERS[name])


def _alone(name: str, send: Send) -> dict[str, float]:
    """Send one after the other, and many at once where that is possible."""
    seconds = []
    cpu = time.process_time()
    for number in range(ONE_BY_ONE):
        began = time.perf_counter()
        send(float(number))
        seconds.append(time.perf_counter() - began)
    cpu = time.process_time() - cpu
    cuts = statistics.quantiles(seconds, n=100)
    figures = {"p50": cuts[49] * 1000, "p99": cuts[98] * 1000, "cpu": cpu / ONE_BY_ONE * 1e6}
    if name.startswith("bridge"):
        began = time.perf_counter()
        events.defer_many(("benchmark.sent", float(number)) for number in range(MANY))
        figures["many"] = time.perf_counter() - began
    return figures


def _crowd(name: str, send: Send) -> dict[str, float]:
    """Send from several threads. The times are those of the machine's steady clock, which processes share."""

    def sends(_: int) -> None:
        for number in range(EACH):
            send(float(number))

    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(sends, range(THREADS)))
    return {"began": began, "ended": time.monotonic()}


_PARTS: dict[str, Callable[[str, Send], dict[str, float]]] = {"alone": _alone, "crowd": _crowd}


def _main(name: str, part: str) -> None:
    """Measure one publisher in this process, and print the figures."""
    with _contender(name).sending() as send:
        for number in range(FIRST):
            send(float(number))
        print(json.dumps(_PARTS[part](name, send)), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
