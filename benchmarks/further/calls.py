"""The round trip of a call: one caller, one call at a time, this project and its peers in turn."""

import json
import os
import statistics
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import cast

from benchmarks.callers.caller import Ask, Caller
from benchmarks.contender import URL
from benchmarks.report import Table
from benchmarks.running_worker import RunningWorker
from tests.rabbitmq_node import RabbitNode

CALLS, FIRST = 2_000, 200
ANSWERED_WITHIN = 60.0

_FILES = {
    "bridge-rabbitmq": "bridge_flask",
    "celery-rpc": "celery_rpc",
    "faststream": "faststream_request",
    "bridge-sqlite": "bridge_flask",
}


def measure(directory: Path) -> Table:
    """Measure each caller in a process of its own, against one RabbitMQ node."""
    with RabbitNode() as node:
        rows = {name: _measured(name, node.new_vhost(), directory / name) for name in _FILES}
    ours = rows["bridge-rabbitmq"]
    return Table(
        "The round trip of a call",
        f"{CALLS:,} calls of one caller, one after the other, after {FIRST} that do not count. The worker has two "
        "processes; FastStream's has one. The listener returns its argument. This project runs it as a request of a "
        "Flask app.",
        (
            ("who", "broker", "ms: p50 / p99", "p50, this project = 1"),
            *(
                (
                    _caller(name).name,
                    _caller(name).broker,
                    f"{p50 * 1000:.2f} / {p99 * 1000:.2f}",
                    f"{p50 / ours[0]:.2f}",
                )
                for name, (p50, p99) in rows.items()
            ),
        ),
    )


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
