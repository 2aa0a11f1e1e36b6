"""Faults of the embedded broker: its file under processes that are killed, kept busy by a stranger, or taken away."""

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
"""Times the square of the seconds that a wound is held open: twenty-two starts in the short run's three seconds, a
thousand in the long run's twenty."""

PUBLISHERS, WORKERS = 10, 3


async def kill_starts(stage: Stage) -> None:
    """All programs end, and small ones take their place on the file, one after the other: each is killed some
    milliseconds later. What they leave behind is the next worker's."""
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
    """Of ten publishers and three workers on one file, one each is killed and replaced."""
    while len(stage.publishers) < PUBLISHERS:
        stage.start_publisher()
    await stage.reaches("ok", 20 * PUBLISHERS)
    worker = await stage.kill(stage.dice.choice(stage.workers))
    publisher = await stage.kill(stage.dice.choice(stage.publishers))
    stage.hurt("SIGKILL of one of many", repeats=HELD_BY_A_WORKER, killed=(worker, publisher))
    await stage.start_worker()


async def keep_busy(stage: Stage) -> None:
    """A stranger with a shell keeps others from writing for longer than `defer()` may take, then tidies the file."""
    stage.hurt("transaction of a stranger")
    with _stranger(stage) as stranger:
        await _when_free(lambda: stranger.execute("BEGIN IMMEDIATE"))
        await asyncio.sleep(max(stage.hold, BUDGET + 0.5))
        stranger.execute("COMMIT")
        await _when_free(lambda: stranger.execute("VACUUM"))
        await _when_free(lambda: stranger.execute("PRAGMA wal_checkpoint(TRUNCATE)"))


async def read_for_long(stage: Stage) -> None:
    """A stranger reads for so long that nothing can leave the write-ahead log."""
    stage.hurt("reader that stays")
    with _stranger(stage) as stranger:
        stranger.execute("BEGIN")
        stranger.execute("SELECT count(*) FROM sqlite_master").fetchone()
        await asyncio.sleep(stage.hold)
        stranger.execute("COMMIT")


async def remove_the_file(stage: Stage) -> None:
    """The file is removed under the programs, at a moment when nothing is in it but dead letters, which are noted. One
    worker that knew it is replaced. What is confirmed from then on must be where others find it."""
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
    """Stop them all, at a moment when none of them is writing: the workers go on."""
    with _stranger(stage) as stranger:
        while True:
            _signal_all(stage, signal.SIGSTOP)
            for publisher in stage.publishers:
                os.waitid(os.P_PID, publisher.process.pid, os.WSTOPPED)
            try:
                stranger.execute("BEGIN IMMEDIATE")
                stranger.execute("ROLLBACK")
            except sqlite3.OperationalError:
                _signal_all(stage, signal.SIGCONT)
            else:
                return


def _signal_all(stage: Stage, number: signal.Signals) -> None:
    for publisher in stage.publishers:
        publisher.signal(number)


@contextmanager
def _stranger(stage: Stage) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection to the file."""
    with closing(sqlite3.connect(_path(stage), timeout=0.5, isolation_level=None)) as connection:
        yield connection


async def _when_free(act: Callable[[], object]) -> None:
    """Do it as soon as the others leave room for it."""
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
    Fault("transaction of a stranger", keep_busy, on=("sqlite",)),
    Fault("reader that stays", read_for_long, on=("sqlite",)),
    Fault("file removed", remove_the_file, on=("sqlite",), workers=2),
)
SHORT = alone(FAULTS)
