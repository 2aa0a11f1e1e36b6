"""Dramatiq with two processes of eight threads each, on its classic queue. The worker runs this file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.contender import PROCESSES, URL, Contender, Send
from benchmarks.records import record

_CONFIRM = "BENCH_DRAMATIQ_CONFIRM"

broker = RabbitmqBroker(url=os.environ.get(URL), confirm_delivery=_CONFIRM in os.environ)
dramatiq.set_broker(broker)


handle = dramatiq.actor(record)


@contextmanager
def _sending() -> Iterator[Send]:
    yield handle.send
    broker.close()


def _contender(*, confirmed: bool) -> Contender:
    return Contender(
        name="Dramatiq, confirming" if confirmed else "Dramatiq",
        broker="rabbitmq",
        handler="no-op actor",
        confirmed=confirmed,
        command=("dramatiq", "--processes", str(PROCESSES), "--threads", "8", __name__),
        sending=_sending,
        environment={_CONFIRM: "1"} if confirmed else {},
        sends_only=confirmed,
    )


CONTENDERS = {"dramatiq": _contender(confirmed=False), "dramatiq-confirming": _contender(confirmed=True)}
