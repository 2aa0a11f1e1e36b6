"""This project: a call is a full request of a Flask app. The worker runs this file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from flask import Flask

from app_adapter import DeferredEvents, Event
from benchmarks.callers.caller import Ask, Caller
from benchmarks.contender import PROCESSES

app = Flask(__name__)
events = DeferredEvents(app)


@events.on("benchmark.asked")
def handle(event: Event) -> float:
    """The listener."""
    number: float = event.payload
    return number


@contextmanager
def _asking() -> Iterator[Ask]:
    yield lambda number: events.call("benchmark.asked", number, timeout=30)


def _caller(broker: Literal["rabbitmq", "sqlite"]) -> Caller:
    command = ("bridge-worker", f"{__name__}:app", "--children", str(PROCESSES))
    return Caller("this project", broker, command, _asking)


CALLERS = {"bridge-rabbitmq": _caller("rabbitmq"), "bridge-sqlite": _caller("sqlite")}
