"""The round trip of a call: one caller, one call at a time, this project and its peers in turn."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

from benchmarks.callers.caller import Ask, Caller
from benchmarks.contender import URL
from benchmarks.figures import spread
from benchmarks.report import Row, Table
from benchmarks.running_worker import RunningWorker
from benchmarks.scale import Scale
from tests.rabbitmq_node import RabbitNode

CALLS, FIRST = 2_000, 200
ANSWERED_WITHIN = 60.0

_FILES = {
    "bridge-rabbitmq": "bridge_flask",
    "celery-rpc": "celery_rpc",
    "faststream": "faststream_request",
    "bridge-sqlite": "bridge_flask",
}


def measure(directory: Path, scale: Scale) -> Table:
    """Measure each caller in a process of its own, against one RabbitMQ node, by turns."""
    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with RabbitNode() as node:
        for number in range(scale.rounds):
            for name in _FILES:
                rows[name].append(_measured(name, node.new_vhost(), directory / f"{name}-{number}"))
    return Table(
        "The round trip of a call",
        f"{CALLS:,} calls of one caller, one after the other, after {FIRST} that do not count; {scale.rounds} rounds "
        "by turns. The worker has two processes; FastStream's has one. The listener returns its argument. A call "
        "promises an answer, or an error; nothing of it is on a disk.",
        (
            ("who", "broker", "runs", "p50, ms", "p99, ms", "p50: this project ÷ it"),
            *(_row(name, found, rows["bridge-rabbitmq"]) for name, found in rows.items()),
        ),
    )


def _row(name: str, found: Sequence[tuple[float, float]], ours: Sequence[tuple[float, float]]) -> Row:
    caller = _caller(name)
    p50, p99 = ([seconds * 1000 for seconds in each] for each in zip(*found, strict=True))
    ratios = [mine[0] / its[0] for mine, its in zip(ours, found, strict=True)]
    runs = "whole Flask request" if name.startswith("bridge") else "bare function"
    return caller.name, caller.broker, runs, spread(p50, 2), spread(p99, 2), "" if ours is found else spread(ratios, 2)


def _measured(name: str, amqp_url: str, directory: Path) -> tuple[float, float]:
    """Return the median and the 99th percentile in seconds."""
    directory.mkdir(parents=True)
    url = amqp_url if _caller(name).broker == "rabbitmq" else f"sqlite:///{directory}/bridge.db"
    command = [sys.executable, "-m", __name__, name, str(directory)]
    environment = {**os.environ, URL: url, "PYTHONPATH": os.pathsep.join(map(str, [Path.cwd()]))}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    p50, p99 = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {p50 * 1000:.2f} / {p99 * 1000:.2f} ms", file=sys.stderr)
    return p50, p99


def _caller(name: str) -> Caller:
    module = import_module(f"benchmarks.callers.{_FILES[name]}")
    return cast("Caller", module.CALLERS[name])


def _main(name: str, directory: Path) -> None:
    """Measure one caller in this process, and print the figures."""
    caller = _caller(name)
    with RunningWorker(caller.command, directory / "records"), caller.asking() as ask:
        _until_answered(ask)
        for number in range(FIRST):
            ask(float(number))
        seconds = []
        for number in range(CALLS):
            began = time.perf_counter()
            if ask(float(number)) != number:
                raise RuntimeError(f"{name}: another answer than {number}")
            seconds.append(time.perf_counter() - began)
    cuts = statistics.quantiles(seconds, n=100)
    print(json.dumps([cuts[49], cuts[98]]))


def _until_answered(ask: Ask) -> None:
    """Wait until the worker takes calls."""
    end = time.monotonic() + ANSWERED_WITHIN
    while True:
        try:
            ask(0.0)
        except Exception:  # of any peer
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
