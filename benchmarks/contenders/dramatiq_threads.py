"""Dramatiq with two processes of eight threads each, which is its default number of threads. The worker runs this file.

Its queues are classic. Dramatiq has no setting for the type of a queue, so `QuorumBroker` adds the argument, as the
documentation of RabbitMQ asks of clients. The prefetch stays at Dramatiq's own, two messages a thread.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.contender import PROCESSES, URL, Contender, Promise, Send
from benchmarks.records import record

_CONFIRM = "BENCH_DRAMATIQ_CONFIRM"
_QUORUM = "BENCH_DRAMATIQ_QUORUM"


class QuorumBroker(RabbitmqBroker):  # type: ignore[misc]  # dramatiq is not a part of every environment
    """Dramatiq's broker with quorum queues."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": "quorum"}


broker = (QuorumBroker if _QUORUM in os.environ else RabbitmqBroker)(
    url=os.environ.get(URL), confirm_delivery=_CONFIRM in os.environ
)
dramatiq.set_broker(broker)


handle = dramatiq.actor(record)


@contextmanager
def _sending() -> Iterator[Send]:
    yield handle.send
    broker.close()


def _contender(queue_type: str, *, confirmed: bool = False) -> Contender:
    confirming = {_CONFIRM: "1"} if confirmed else {}
    return Contender(
        name=f"Dramatiq, {queue_type} queue" + (", confirming" if confirmed else ""),
        broker="rabbitmq",
        promise=Promise(confirmed=confirmed, kept=f"{queue_type} queue", runs="bare function"),
        command=("dramatiq", "--processes", str(PROCESSES), "--threads", "8", __name__),
        sending=_sending,
        environment=({_QUORUM: "1"} if queue_type == "quorum" else {}) | confirming,
        sends_only=confirmed,
    )


CONTENDERS = {
    "dramatiq-quorum": _contender("quorum"),
    "dramatiq-classic": _contender("classic"),
    "dramatiq-confirming": _contender("quorum", confirmed=True),
}
