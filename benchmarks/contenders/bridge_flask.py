"""This project: a Flask app and its worker with two children. An event is a full request. The worker runs this file."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from flask import Flask

from app_adapter import DeferredEvents, Event
from benchmarks.contender import PROCESSES, Contender, Promise, Send
from benchmarks.records import record

app = Flask(__name__)
events = DeferredEvents(app)


_kind, _, _seconds = os.environ.get("BENCH_WORK", "").partition(":")


@events.on("benchmark.sent")
def handle(event: Event) -> None:
    """The listener. It works first, if the part `children` asks for that."""
    if _kind == "sleep":
        time.sleep(float(_seconds))
    elif _kind == "cpu":
        end = time.process_time() + float(_seconds)
        while time.process_time() < end:
            pass
    record(event.payload)


@contextmanager
def _sending() -> Iterator[Send]:
    yield lambda sent: events.defer("benchmark.sent", sent)


def _contender(broker: Literal["rabbitmq", "sqlite"], kept: str) -> Contender:
    return Contender(
        name=f"this project, {'RabbitMQ' if broker == 'rabbitmq' else 'SQLite'}",
        broker=broker,
        promise=Promise(confirmed=True, kept=kept, runs="whole Flask request"),
        command=("bridge-worker", f"{__name__}:app", "--children", str(PROCESSES)),
        sending=_sending,
        environment={"BRIDGE_PUBLISH_TIMEOUT": "30s"},  # a machine that stalls for 2 s does not end the run
    )


CONTENDERS = {
    "bridge-rabbitmq": _contender("rabbitmq", "quorum queue"),
    "bridge-sqlite": _contender("sqlite", "SQLite, fsync"),
}
