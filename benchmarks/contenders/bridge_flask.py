"""This project: a Flask app and its worker with two children. An event is a full request. The worker runs this file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from flask import Flask

from app_adapter import DeferredEvents, Event
from benchmarks.contender import PROCESSES, Contender, Send
from benchmarks.records import record

app = Flask(__name__)
events = DeferredEvents(app)


@events.on("benchmark.sent")
def handle(event: Event) -> None:
    """The listener."""
    record(event.payload)


@contextmanager
def _sending() -> Iterator[Send]:
    yield lambda sent: events.defer("benchmark.sent", sent)


def _contender(name: str, broker: Literal["rabbitmq", "sqlite"]) -> Contender:
    return Contender(
        name=name,
        broker=broker,
        handler="Flask request",
        confirmed=True,
        command=("bridge-worker", f"{__name__}:app", "--children", str(PROCESSES)),
        sending=_sending,
    )


CONTENDERS = {
    "bridge-rabbitmq": _contender("this project", "rabbitmq"),
    "bridge-sqlite": _contender("this project", "sqlite"),
}
