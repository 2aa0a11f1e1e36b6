"""Celery with prefork. The worker runs this file.

As its documentation advises: late acks, and no task lost with its process (`task_reject_on_worker_lost`); a prefetch of
64 a process for many short tasks; no gossip, mingle and heartbeat, which cost and promise nothing for one worker.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery

from benchmarks.contender import PROCESSES, URL, Contender, Promise, Send
from benchmarks.records import record

_QUEUE_TYPE = "BENCH_CELERY_QUEUE_TYPE"
_CONFIRM = "BENCH_CELERY_CONFIRM"

app = Celery("benchmark", broker=os.environ.get(URL))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=64,
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
        promise=Promise(confirmed=confirmed, kept=f"{queue_type} queue", runs="bare function"),
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
