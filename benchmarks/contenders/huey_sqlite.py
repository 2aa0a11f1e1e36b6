"""Huey on SQLite with two processes. The worker runs this file.

By default, without fsync, a power cut loses the last sends. With fsync, a send promises the same as the bridge's. A
task leaves the file before it runs, so it is lost with its process. Huey polls as often as the bridge: every 5 ms when
busy, every 50 ms when idle.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from huey import SqliteHuey

from benchmarks.contender import PROCESSES, URL, Contender, Promise, Send
from benchmarks.records import record

_FSYNC = "BENCH_HUEY_FSYNC"

huey = SqliteHuey(
    filename=os.environ.get(URL, "").removeprefix("sqlite:///"), results=False, fsync=_FSYNC in os.environ, timeout=30
)


handle = huey.task()(record)


@contextmanager
def _sending() -> Iterator[Send]:
    yield handle


def _contender(*, fsync: bool) -> Contender:
    return Contender(
        name="Huey, fsync" if fsync else "Huey, no fsync",
        broker="sqlite",
        promise=Promise(
            confirmed=fsync,
            kept="SQLite, fsync" if fsync else "SQLite, no fsync",
            runs="bare function",
            killed="is lost",
        ),
        command=(
            *("huey_consumer", f"{__name__}.huey", "--worker-type", "process", "--workers", str(PROCESSES)),
            *("--delay", "0.005", "--max-delay", "0.05", "--no-periodic", "--quiet"),
        ),
        sending=_sending,
        environment={_FSYNC: "1"} if fsync else {},
    )


CONTENDERS = {"huey": _contender(fsync=False), "huey-fsync": _contender(fsync=True)}
