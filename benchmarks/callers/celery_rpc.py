"""Celery's `delay().get()` with its result backend `rpc`, which answers over RabbitMQ. The worker runs this file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery

from benchmarks.callers.caller import Ask, Caller
from benchmarks.contender import PROCESSES, URL

app = Celery("benchmark", broker=os.environ.get(URL), backend="rpc://")


@app.task  # type: ignore[untyped-decorator]  # celery has no types
def handle(number: float) -> float:
    """The task."""
    return number


@contextmanager
def _asking() -> Iterator[Ask]:
    yield lambda number: handle.delay(number).get(timeout=30)
    app.close()


CALLERS = {
    "celery-rpc": Caller(
        name="Celery, `.get()`",
        broker="rabbitmq",
        command=(
            *("celery", "--app", __name__, "worker", "--pool", "prefork", "--concurrency", str(PROCESSES)),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
        ),
        asking=_asking,
    )
}
