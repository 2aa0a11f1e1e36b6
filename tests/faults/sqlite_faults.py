"""Faults of the SQLite broker: processes that use its file are killed, another program locks it, or it is removed."""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bridge.brokers.sqlite.broker import path_of
from tests.faults.drain import end, note_ledger, until_empty
from tests.faults.ordeal import Fault, alone
from tests.faults.stage import BUDGET, HELD_BY_A_WORKER, Stage
from tests.journey.site import Program

STARTS = 2.5
"""Starts for each squared second of `hold`: 22 starts in a short run (3 s), 1,000 in a long run (20 s)."""

PUBLISHERS, WORKERS = 10, 3


async def kill_starts(stage: Stage) -> None:
    """End all programs; then let small processes use the file one after the other, each killed after some milliseconds.
    The next worker takes over the file as they left it."""
    await end((*stage.publishers, *stage.workers))
    stage.publishers.clear()
    stage.workers.clear()
    count, seed = round(STARTS * stage.hold**2), stage.dice.randrange(1_000_000)
    command = [sys.executable, "-m", "tests.faults.sqlite_starts", str(count), str(seed)]
    starts = Program(command, stage.site.directory, stage.site.environment)
    assert await starts.ended(within=600.0) == 0, starts.log
    await stage.start_worker()
    stage.start_publisher()


async def kill_one_of_many(stage: Stage) -> None:
    """Let ten publishers and three workers use one file; kill and replace one of each."""
    while len(stage.publishers) < PUBLISHERS:
        stage.start_publisher()
    await stage.reaches("ok", 20 * PUBLISHERS)
    worker = await stage.kill(stage.dice.choice(stage.workers))
    publisher = await stage.kill(stage.dice.choice(stage.publishers))
    stage.hurt("SIGKILL of one of many", repeats=HELD_BY_A_WORKER, killed=(worker, publisher))
    await stage.start_worker()


async def keep_busy(stage: Stage) -> None:
    """Lock the file for longer than `defer()` may take, as a person with an SQLite shell may; then vacuum it."""
    stage.hurt("long transaction of another program")
    with _connection(stage) as other:
        await _when_free(lambda: other.execute("BEGIN IMMEDIATE"))
        await asyncio.sleep(max(stage.hold, BUDGET + 0.5))
        other.execute("COMMIT")
        await _when_free(lambda: other.execute("VACUUM"))
        await _when_free(lambda: other.execute("PRAGMA wal_checkpoint(TRUNCATE)"))


async def read_for_long(stage: Stage) -> None:
    """Hold a read transaction open for `hold` seconds, so that the write-ahead log cannot be checkpointed."""
    stage.hurt("long read of another program")
    with _connection(stage) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM sqlite_master").fetchone()
        await asyncio.sleep(stage.hold)
        other.execute("COMMIT")


async def remove_the_file(stage: Stage) -> None:
    """Remove the file while the programs have it open, at a moment when it holds only dead letters, which are noted.
    Replace one of the workers. Events that are confirmed later must be in the new file."""
    began = time.monotonic()
    _freeze_publishers(stage)
    async with stage.site.broker() as broker:
        await until_empty(stage, broker.consumer())
        await note_ledger(stage, broker)
    path = _path(stage)
    for part in ("", "-shm", "-wal"):
        path.with_name(path.name + part).unlink()
    killed = await stage.kill(stage.workers[0])
    frozen = tuple(publisher.process.pid for publisher in stage.publishers)
    _signal_all(stage, signal.SIGCONT)
    stage.hurt("file removed", killed=(killed,), stopped=frozen, lasted=time.monotonic() - began)
    await stage.start_worker()


def _freeze_publishers(stage: Stage) -> None:
    """Stop all publishers at a moment when none of them is writing. The workers keep running."""
    with _connection(stage) as other:
        while True:
            _signal_all(stage, signal.SIGSTOP)
            for publisher in stage.publishers:
                os.waitid(os.P_PID, publisher.process.pid, os.WSTOPPED)
            try:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
            except sqlite3.OperationalError:
                _signal_all(stage, signal.SIGCONT)
            else:
                return


def _signal_all(stage: Stage, number: signal.Signals) -> None:
    for publisher in stage.publishers:
        publisher.signal(number)


@contextmanager
def _connection(stage: Stage) -> Iterator[sqlite3.Connection]:
    """Open the file as another program would."""
    with closing(sqlite3.connect(_path(stage), timeout=0.5, isolation_level=None)) as connection:
        yield connection


async def _when_free(act: Callable[[], object]) -> None:
    """Call `act` as soon as no other process locks the file."""
    while True:
        try:
            act()
        except sqlite3.OperationalError:
            await asyncio.sleep(0)
        else:
            return


def _path(stage: Stage) -> Path:
    return path_of(stage.site.broker_url)


FAULTS = (
    Fault("SIGKILL of starts on one file", kill_starts, on=("sqlite",)),
    Fault("ten publishers and three workers on one file", kill_one_of_many, on=("sqlite",), workers=WORKERS),
    Fault("long transaction of another program", keep_busy, on=("sqlite",)),
    Fault("long read of another program", read_for_long, on=("sqlite",)),
    Fault("file removed", remove_the_file, on=("sqlite",), workers=2),
)
SHORT = alone(FAULTS)
