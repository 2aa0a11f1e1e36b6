"""Measures one contender, in a process of its own: `python -m benchmarks.measure NAME EVENTS [BROKER_PID]`.

It sends single events and times them; sends the rest of the backlog from several threads; starts the worker, which
drains the backlog; then sends events at an even pace to that worker, which is warm and idle. The environment has the
broker's URL and the path of the records. The result is one line of JSON on standard output.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import records
from benchmarks.contender import Contender, Send
from benchmarks.contenders import contender
from benchmarks.footprint import footprint
from benchmarks.results import Drain, Result, Times, to_json
from benchmarks.running_worker import RunningWorker

SINGLE_SENDS = 1_000
SENDING_THREADS = 8
PACE = 50
PACED_EVENTS = 500
WARM_UP_EVENTS = 25
BOOTED_SHARE = 0.1
"""The clock starts when this share of the backlog is handled, since all processes of the worker have booted then."""


def measure(name: str, contender: Contender, events: int, broker: int | None) -> Result:
    """Return one contender's figures for a backlog of this many events. `broker` is the pid of its broker, if any."""
    file = Path(os.environ[records.FILE])
    file.touch()
    with contender.sending() as send:
        send(time.monotonic())  # connects
        sending = Times.of([_timed(send) for _ in range(SINGLE_SENDS)])
        if contender.sends_only:
            return Result(name, sending)
        _send_many(send, events - SINGLE_SENDS - 1)
        with RunningWorker(contender.command, file) as worker:
            drain = _drain(worker, events, broker)
            latency = _latency(worker, send)
    return Result(name, sending, latency, drain)


def _timed(send: Send) -> float:
    began = time.monotonic()
    send(began)
    return time.monotonic() - began


def _send_many(send: Send, count: int) -> None:
    with ThreadPoolExecutor(SENDING_THREADS) as threads:
        for _ in threads.map(lambda _: send(time.monotonic()), range(count)):
            pass


def _drain(worker: RunningWorker, backlog: int, broker: int | None) -> Drain:
    booted = worker.handled(round(backlog * BOOTED_SHARE))
    before = footprint(worker.pid, broker)
    handled = worker.handled(backlog) - booted
    after = footprint(worker.pid, broker)
    moments = [moment for _, moment in records.read(worker.records)]
    return Drain(
        per_second=handled / (moments[-1] - moments[booted - 1]),
        cpu=after.cpu_per_event(before, handled),
        worker_memory=after.worker_memory,
        child_memory=after.child_memory,
    )


def _latency(worker: RunningWorker, send: Send) -> Times:
    """Return the times from just before an event is sent until its handler runs."""
    before = records.count(worker.records)
    began = time.monotonic()
    for number in range(WARM_UP_EVENTS + PACED_EVENTS):
        time.sleep(max(began + number / PACE - time.monotonic(), 0))
        send(time.monotonic())
    worker.handled(before + WARM_UP_EVENTS + PACED_EVENTS)
    paced = sorted(records.read(worker.records)[before:])[WARM_UP_EVENTS:]
    return Times.of([handled - sent for sent, handled in paced])


if __name__ == "__main__":
    name, events, *broker = sys.argv[1:]
    print(to_json(measure(name, contender(name), int(events), int(broker[0]) if broker else None)))
