"""Measures one contender once, in a process of its own: `python -m benchmarks.measure NAME EVENTS [BROKER_PID]`.

It sends single events and times them; sends the rest of the backlog from several threads; starts the worker, which
drains the backlog; then sends events at even paces to that worker, which is warm; then leaves it idle. The environment
has the broker's URL and the path of the records. The figures are one line of JSON on standard output.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import records
from benchmarks.contender import Contender, Send
from benchmarks.contenders import contender
from benchmarks.draining import drained
from benchmarks.figures import IDLE_SECONDS, PACES, Figures, pace_keys, percentiles
from benchmarks.footprint import footprint
from benchmarks.running_worker import RunningWorker

SINGLE_SENDS = 1_000
SENDING_THREADS = 8
WARM_UP_SHARE = 0.1
"""This share of the events at a pace is sent in addition, first, and does not count."""
SETTLING_SECONDS = 1.0
MIB = 1024**2


def measure(contender: Contender, events: int, broker: int | None) -> Figures:
    """Return one contender's figures for a backlog of this many events. `broker` is the pid of its broker, if any."""
    file = Path(os.environ[records.FILE])
    file.touch()
    with contender.sending() as send, ThreadPoolExecutor(SENDING_THREADS) as threads:
        figures = dict(_single_sends(send))
        if contender.sends_only:
            return figures
        for _ in threads.map(lambda _: send(time.monotonic()), range(events - SINGLE_SENDS - 1)):
            pass
        with RunningWorker(contender.command, file) as worker:
            figures |= _drain(worker, events, broker)
            for pace, count in PACES.items():
                figures |= _latency(worker, send, threads, pace, count)
            figures |= _idle(worker, IDLE_SECONDS)
    return figures


def _single_sends(send: Send) -> Iterator[tuple[str, float]]:
    send(time.monotonic())  # connects
    p50, p99 = percentiles([_timed(send) for _ in range(SINGLE_SENDS)])
    yield "send p50", p50
    yield "send p99", p99


def _timed(send: Send) -> float:
    began = time.monotonic()
    send(began)
    return time.monotonic() - began


def _drain(worker: RunningWorker, backlog: int, broker: int | None) -> Figures:
    drain = drained(worker, backlog, broker)
    cpu = drain.cpu
    by_role = {f"cpu {role}": microseconds for role, microseconds in cpu.items()}
    return {"events/s": drain.per_second, "cpu all": sum(cpu.values()), **by_role}


def _latency(worker: RunningWorker, send: Send, threads: ThreadPoolExecutor, pace: int, count: int) -> Figures:
    """Return the times from just before an event is sent until its handler runs. The threads take turns, so that a send
    that takes longer than the pause between two events does not delay the next one."""
    before = records.count(worker.records)
    warm_up = round(count * WARM_UP_SHARE)
    began = time.monotonic()

    def send_in_time(number: int) -> float:
        time.sleep(max(began + number / pace - time.monotonic(), 0))
        sent = time.monotonic()
        send(sent)
        return sent

    sent = list(threads.map(send_in_time, range(warm_up + count)))
    worker.handled(before + warm_up + count)
    paced = sorted(records.read(worker.records)[before:])[warm_up:]
    p50, p99 = percentiles([handled - sent for sent, handled in paced])
    reached = (count - 1) / (max(sent) - sorted(sent)[warm_up])
    return dict(zip(pace_keys(pace), (p50, p99, reached), strict=True))


def _idle(worker: RunningWorker, seconds: float) -> Figures:
    time.sleep(SETTLING_SECONDS)
    before = footprint(worker.pid, None)
    began = time.monotonic()
    time.sleep(seconds)
    after = footprint(worker.pid, None)
    taken = time.monotonic() - began
    return {
        "idle cpu": sum(after.cpu_since(before).values()) / taken * 1000,
        "idle wake-ups": (after.wake_ups - before.wake_ups) / taken,
        "memory worker": after.worker_memory / MIB,
        "memory child": after.child_memory / MIB,
        "memory all": after.all_memory / MIB,
    }


if __name__ == "__main__":
    name, events, *broker = sys.argv[1:]
    print(json.dumps(measure(contender(name), int(events), int(broker[0]) if broker else None)))
