"""`bridge-status --site` on a site of fifty workers: how long it takes, and the CPU time of those who ask and answer.

`python -m benchmarks.further.site URL NUMBER` runs some of the workers' memberships until its input ends.
"""

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.contender import URL
from benchmarks.report import Row, Table
from benchmarks.scale import Scale
from bridge.brokers.any_broker.roll_call import ask_site
from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.queues import Queue
from tests.rabbitmq_node import RabbitNode
from tests.unit.bridge.statuses import BUSY, WORKER
from worker.control.membership import Membership

PROCESSES, WORKERS_EACH, SLOTS = 5, 10, 4
WORKERS = PROCESSES * WORKERS_EACH
ASKED = 10
NAMESPACE = "bridge"
PROGRAM = str(Path(sys.executable).with_name("bridge-status"))


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: its seconds, the CPU seconds of its asker and of all workers together, and the workers found."""

    seconds: float
    own_cpu: float
    workers_cpu: float
    found: int


def measure(directory: Path, scale: Scale) -> Table:
    """Ask on both brokers, `ASKED` times in each round by turns; return the medians."""
    rows: list[Row] = [("broker", "asked by", "s", "worst, s", "goal, s", "CPU, s", "CPU of a worker, ms", "complete")]
    with RabbitNode() as node:
        for name, url in (("sqlite", f"sqlite:///{directory}/bridge.db"), ("rabbitmq", node.url)):
            asyncio.run(_declared(url))
            with members(url) as pids:
                by_function = [asyncio.run(_asked(url, pids)) for _ in range(ASKED * scale.rounds)]
                by_program = [_by_program(url, pids) for _ in range(scale.rounds)]
            rows += [_row(name, "ask_site()", by_function), _row(name, "bridge-status --site --json", by_program)]
    load, *_ = os.getloadavg()
    return Table(
        f"The status of a site of {WORKERS} workers",
        f"{WORKERS} memberships in {PROCESSES} processes, each with a connection of its own and {SLOTS} slots. Each of "
        "them answers as a worker does. The asker waits 0.3 s for answers in any case. Medians; *complete* is the "
        f"share of the questions that all workers answered. The load of the machine was {load:.1f} at the end.",
        rows,
    )


def _row(broker: str, by: str, asked: list[Asked]) -> Row:
    return (
        broker,
        by,
        f"{statistics.median(each.seconds for each in asked):.2f}",
        f"{max(each.seconds for each in asked):.2f}",
        "< 1",
        f"{statistics.median(each.own_cpu for each in asked):.2f}",
        f"{statistics.median(each.workers_cpu for each in asked) / WORKERS * 1000:.1f}",
        f"{sum(each.found == WORKERS for each in asked)} of {len(asked)}",
    )


@contextmanager
def members(url: str) -> Iterator[list[int]]:
    """Run the workers while the block runs; return the pids of their processes."""
    command = [sys.executable, "-m", __name__, url]
    processes = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for number in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()  # when its workers are members
        asyncio.run(_until_all_answer(url))
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.communicate()


async def _declared(url: str) -> None:
    broker = open_broker(url, NAMESPACE)
    await broker.declare([Queue("default")])
    await broker.close()


async def _until_all_answer(url: str) -> None:
    broker = open_broker(url, NAMESPACE)
    while len((await ask_site(broker)).workers) < WORKERS:
        pass
    await broker.close()


async def _asked(url: str, pids: list[int]) -> Asked:
    broker = open_broker(url, NAMESPACE)
    before, began, own = _cpu(pids), time.monotonic(), time.process_time()
    roll = await ask_site(broker)
    seconds, own = time.monotonic() - began, time.process_time() - own
    await broker.close()
    return Asked(seconds, own, _cpu(pids) - before, len(roll.workers))


def _by_program(url: str, pids: list[int]) -> Asked:
    before, began, own = _cpu(pids), time.monotonic(), _cpu_of_ended()
    command = [PROGRAM, "--site", "--json"]
    done = subprocess.run(command, check=False, env={**os.environ, URL: url}, stdout=subprocess.PIPE, text=True)
    seconds = time.monotonic() - began
    return Asked(seconds, _cpu_of_ended() - own, _cpu(pids) - before, len(json.loads(done.stdout)["workers"]))


async def _no_child(pid: int) -> None:
    """These workers have no children."""


def _cpu(pids: list[int]) -> float:
    """Return the CPU seconds of these processes."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def _cpu_of_ended() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _be_members(url: str, number: int) -> None:
    """Be some of the workers until the input ends."""
    async with AsyncExitStack() as site:
        for each in range(number * WORKERS_EACH, (number + 1) * WORKERS_EACH):
            broker: Broker = open_broker(url, NAMESPACE)
            site.push_async_callback(broker.close)
            status = replace(WORKER, instance=f"i{each}", pid=1000 + each, slots=(BUSY,) * SLOTS)
            await site.enter_async_context(Membership(broker, partial(lambda known: known, status), _no_child))
        print("members", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_be_members(sys.argv[1], int(sys.argv[2])))
