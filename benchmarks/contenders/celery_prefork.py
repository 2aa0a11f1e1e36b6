"""Celery with prefork and late acks, as its documentation advises against lost tasks. The worker runs this file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery

from benchmarks.contender import PROCESSES, URL, Contender, Send
from benchmarks.records import record

_QUEUE_TYPE = "BENCH_CELERY_QUEUE_TYPE"
_CONFIRM = "BENCH_CELERY_CONFIRM"

app = Celery("benchmark", broker=os.environ.get(URL))
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue_type=os.environ.get(_QUEUE_TYPE, "classic"),
    broker_transport_options={"confirm_publish": _CONFIRM in os.environ},
)


handle = app.task(record)


@contextmanager
def _sending() -> Iterator[Send]:
    yield handle.delay
    app.close()


def _contender(queue_type: str, *, confirmed: bool = False) -> Contender:
    return Contender(
        name=f"Celery, {queue_type} queue" + (", confirming" if confirmed else ""),
        broker="rabbitmq",
        handler="no-op task",
        confirmed=confirmed,
        command=(
            *("celery", "--app", __name__, "worker", "--pool", "prefork", "--concurrency", str(PROCESSES)),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
        ),
        sending=_sending,
        environment={_QUEUE_TYPE: queue_type, **({_CONFIRM: "1"} if confirmed else {})},
        sends_only=confirmed,
    )


CONTENDERS = {
    "celery-quorum": _contender("quorum"),
    "celery-classic": _contender("classic"),
    "celery-confirming": _contender("quorum", confirmed=True),
}
