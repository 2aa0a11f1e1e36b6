"""Faults of the host: a full disk, a log that cannot be written, no free file descriptors, a clock that is changed."""

import asyncio
import os
import resource
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.faults.history import Following
from tests.faults.limits import STEP
from tests.faults.ordeal import BOTH, TERMS, Fault, alone
from tests.faults.shifted import shift
from tests.faults.stage import BUDGET, CHILDREN, THREADS, Stage
from tests.journey.site import PROGRAMS, Program, eventually

HISTORY_A_SECOND = 1024 * 1024
"""Bytes a second that publishers may append to the history while they can write to no other file."""

BALLAST = 256 * 1024
HOUR = 3600.0
BACKLOG = 60.0
"""Seconds that an event may wait for the events that were published before it."""


async def fill_disk(stage: Stage) -> None:
    """Let the disk be full for workers and publishers, for `hold` seconds."""
    with _full(stage, stage.site.directory / "bridge.db", _pids(stage)):
        await asyncio.sleep(stage.hold)
    stage.hurt("disk full")


async def fill_disk_of_spool(stage: Stage) -> None:
    """Freeze RabbitMQ, then let the spool's disk be full too; first the disk has room again, then RabbitMQ resumes."""
    if not stage.relays:  # a publisher that ends may leave events in the spool
        await stage.start_relay()
    stage.circuit_opens()
    stage.node.pause()
    try:
        await stage.reaches("ok", 20)  # spooled events
        users = [program.process.pid for program in (*stage.publishers, *stage.relays)]
        with _full(stage, stage.site.directory / "bridge-spool.db", users):
            await stage.reaches("fail", 1)
            await asyncio.sleep(stage.hold)
        await stage.reaches("ok", 20)
    finally:
        stage.node.resume()
    stage.cut_off_all("disk of the spool full while RabbitMQ is away")


@contextmanager
def _full(stage: Stage, path: Path, pids: Sequence[int]) -> Iterator[None]:
    """Limit the file size of these processes so that they cannot write to a database, but still to the history."""
    log = path.with_name(f"{path.name}-wal")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
        room = stage.path.stat().st_size + int(HISTORY_A_SECOND * stage.hold)
        with _log_not_reused(path):
            connection.execute("CREATE TABLE IF NOT EXISTS ballast (data BLOB)")
            while log.stat().st_size < room:
                connection.execute("INSERT INTO ballast VALUES (zeroblob(?))", (BALLAST,))
            with _limited(pids, resource.RLIMIT_FSIZE, log.stat().st_size, stage):
                yield
        connection.execute("DROP TABLE ballast")


async def lose_log(stage: Stage) -> None:
    """Let a worker whose log cannot be written do all the work for `hold` seconds."""
    command = ["sh", "-c", 'exec "$0" "$@" > /dev/full 2>&1', str(PROGRAMS / "bridge-worker")]
    arguments = ("judged:app", "--children", str(CHILDREN))
    silent = Program([*command, *arguments], stage.site.directory, stage.site.environment)
    await eventually(lambda: len(silent.children) > CHILDREN, report=stage.report)
    others, stage.workers = stage.workers, [silent]
    for other in others:
        other.signal(signal.SIGTERM)
        await other.ended(STEP)
    await stage.reaches("effect", 20)
    await asyncio.sleep(stage.hold)
    stage.hurt("log on a full disk")
    await stage.start_worker()
    silent.signal(signal.SIGTERM)
    assert await silent.ended(STEP) == 0
    stage.workers.remove(silent)


async def use_up_descriptors(stage: Stage) -> None:
    """Let workers and publishers have no free file descriptor; meanwhile kill a child and close every connection."""
    await _all_publish(stage)
    worker = stage.dice.choice(stage.workers)
    with _limited(_pids(stage), resource.RLIMIT_NOFILE, 3, stage):
        os.kill(stage.dice.choice(worker.children), signal.SIGKILL)
        (stage.site.directory / "neighbour.py").touch()  # a changed directory: publishers look for workers again
        stage.hurt("no free file descriptors", repeats=1, unseen=1)
        if stage.nodes:
            stage.cut_off_all("connections closed while descriptors are used up")
            await asyncio.to_thread(stage.node.operator.close_all_connections)
        await asyncio.sleep(stage.hold)
    await eventually(lambda: len(worker.children) > CHILDREN, STEP, stage.report)


async def set_clock(stage: Stage) -> None:
    """Set the clock an hour forward and back, then let an hour pass. Events without a delay begin without waiting."""
    file = stage.site.directory / "shift.py"
    if not file.exists():
        shift(file, 0.0)
        await _on_shifted_clock(stage, file)
    began = await asyncio.to_thread(_shift_of, file)
    shift(file, began + HOUR)
    await stage.reaches("effect", 20)
    await asyncio.sleep(stage.hold / 2)
    with Following(stage.path) as following:
        await _stop_workers(stage)
        shift(file, began)
        for worker in stage.workers:
            worker.signal(signal.SIGCONT)
        await _all_begin(stage, following)
    await asyncio.sleep(stage.hold / 2)
    shift(file, began + HOUR + 60)
    stage.hurt("clock set an hour forward, and back")


async def _stop_workers(stage: Stage) -> None:
    """Stop the workers, and return when publishers have deferred some events since. If a worker was stopped in a
    transaction and so keeps the file locked, resume the workers and try again."""
    while True:
        for worker in stage.workers:
            worker.signal(signal.SIGSTOP)
        try:
            await stage.reaches("ok", 20, within=BUDGET)
        except AssertionError:
            for worker in stage.workers:
                worker.signal(signal.SIGCONT)
            await stage.reaches("ok", 1)
        else:
            return


async def _all_publish(stage: Stage) -> None:
    """Wait until every publisher has published an event. A publisher without a file descriptor at its start would end
    at once."""
    missing = {publisher.process.pid for publisher in stage.publishers}
    with Following(stage.path) as following:

        def none_is_missing() -> bool:
            missing.difference_update(record["pid"] for record in following.records() if record["what"] == "ok")
            return not missing

        await eventually(none_is_missing, STEP, stage.report)


async def _all_begin(stage: Stage, following: Following) -> None:
    """Wait until every event without a delay that `following` has seen deferred has begun."""
    records = following.records()
    at_once = {record["key"] for record in records if record["what"] == "invoke" and not record["delay"]}
    missing = {record["key"] for record in records if record["what"] == "ok"} & at_once
    missing -= {record["key"] for record in records if record["what"] == "attempt"}

    def begun() -> bool:
        missing.difference_update(record["key"] for record in following.records() if record["what"] == "attempt")
        return not missing

    await eventually(begun, STEP + BACKLOG, lambda: f"{sorted(missing)} have not begun\n{stage.report()}")


async def _on_shifted_clock(stage: Stage, file: Path) -> None:
    """Replace the workers and publishers by a worker and publishers whose clock follows the file."""
    entry = (sys.executable, "-m", "tests.faults.shifted", str(file))
    command = (*entry, "worker", "judged:app", "--children", str(CHILDREN))
    worker = Program(command, stage.site.directory, stage.site.environment)
    await worker.says("ready for events", STEP)
    publishers = [
        Program((*entry, "publisher", f"s{number}", str(THREADS), str(stage.rate)), *_place(stage))
        for number, _ in enumerate(stage.publishers)
    ]
    others = [*stage.workers, *stage.publishers]
    stage.workers, stage.publishers = [worker], publishers
    for other in others:
        other.signal(signal.SIGTERM)
        await other.ended(STEP)


def _place(stage: Stage) -> tuple[Path, dict[str, str]]:
    return stage.site.directory, stage.site.environment


def _shift_of(file: Path) -> float:
    found: float = memoryview(file.read_bytes()).cast("d")[0]
    return found


def _pids(stage: Stage) -> list[int]:
    return [program.process.pid for program in (*stage.workers, *stage.publishers)]


@contextmanager
def _limited(pids: Sequence[int], limit: int, most: int, stage: Stage) -> Iterator[None]:
    """Give processes this soft limit, and their old one at the end, also to the processes that they started."""
    before = resource.prlimit(pids[0], limit)
    for pid in pids:
        resource.prlimit(pid, limit, (most, before[1]))
    try:
        yield
    finally:
        for pid in stage.site.processes:
            resource.prlimit(pid, limit, before)


@contextmanager
def _log_not_reused(path: Path) -> Iterator[None]:
    """Read a database, as a backup does, so that its write-ahead log grows and does not start again from its begin."""
    with closing(sqlite3.connect(path, isolation_level=None)) as backup:
        backup.execute("BEGIN")
        backup.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield


UNTIMED = replace(TERMS, timed=False)

DISKS = (
    Fault("disk full", fill_disk, on=("sqlite",)),
    Fault("spool's disk full", fill_disk_of_spool, on=("rabbitmq",), settings=("publish = 'spool'",)),
)
MEANS = (
    Fault("log on a full disk", lose_log, on=BOTH),
    Fault("no free file descriptors", use_up_descriptors, on=BOTH),
)
CLOCKS = (
    Fault("clock an hour forward and back", set_clock, on=("sqlite",), terms=UNTIMED),
    Fault("clock an hour forward and back", set_clock, on=("rabbitmq",)),
)
FAULTS = (*DISKS, *MEANS, *CLOCKS)
SHORT = (*alone(DISKS), MEANS, *alone(CLOCKS))
