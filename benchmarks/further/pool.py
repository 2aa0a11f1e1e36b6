"""Figures of the pool: how soon the slot of a killed child works again, and the memory that `--preload` saves."""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import psutil

from benchmarks.report import Table
from benchmarks.scale import Scale
from tests.journey.pool_site import PoolSite, pool_site
from tests.journey.site import Program, Site, eventually

T = TypeVar("T")

PRELOAD = ("--preload",)
KILLS = 10
EVENTS = 400
"""New events before each kill, so that there are events however long the spare took to boot."""
STEP = "sleep:0.002"
CHILDREN = 4
WEIGHT = 60
"""MB of objects that the app makes when it is imported."""


def measure(directory: Path, scale: Scale) -> Table:
    """Measure both with and without `--preload`, each on its own site."""
    gaps, forked_gaps = (_on_a_site(directory, _gaps, *options) for options in ((), PRELOAD))
    alone, forked = (_on_a_site(directory, _memory, *options) for options in ((), PRELOAD))
    return Table(
        "The pool",
        f"From SIGKILL of a child to the next event in its slot ({KILLS} times: median / worst), and the memory that "
        f"{CHILDREN} children of an app with {WEIGHT} MB of objects use after some events, with their nursery if they "
        "have one (PSS: shared memory counts by each process's share).",
        (
            ("what", "each boots by itself", "--preload", "ratio", "goal"),
            ("SIGKILL to the slot's next event, ms", _milliseconds(gaps), _milliseconds(forked_gaps), "", "≤ 20"),
            ("memory, MiB", f"{alone:.0f}", f"{forked:.0f}", f"{forked / alone:.2f}", ""),
        ),
    )


def _milliseconds(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f} / {max(seconds) * 1000:.1f}"


def _on_a_site(directory: Path, figure: Callable[..., Coroutine[Any, Any, T]], *options: str) -> T:
    directory.mkdir(exist_ok=True)
    site = Site(directory, f"sqlite:///{directory}/bridge.db", "bridge")
    try:
        with pool_site(site) as pool:
            return asyncio.run(figure(pool, *options))
    finally:
        site.remove()


async def _gaps(pool: PoolSite, *options: str) -> list[float]:
    """Kill the child in the slot repeatedly while there are events; return the seconds until the next event begins."""
    worker = pool.worker("--children", "1", *options)
    gaps = []
    for _ in range(KILLS):
        await eventually(lambda: bool(pool.pids("spare")), report=lambda: worker.log)
        await pool.site.defer("do.this", STEP, "ok", count=EVENTS)
        (seated,), (spare,) = pool.pids("busy", "idle"), pool.pids("spare")
        killed = time.time()  # the listeners note the same clock
        os.kill(seated, signal.SIGKILL)
        gaps.append(await _first_event(pool, worker, spare) - killed)
    await _end(worker)
    return gaps


async def _first_event(pool: PoolSite, worker: Program, pid: int) -> float:
    """Wait until this child has begun an event; return the time when it began."""
    await eventually(lambda: bool(pool.site.effects(pid=pid, step=STEP)), report=lambda: worker.log)
    return pool.site.effects(pid=pid, step=STEP)[0].at


async def _memory(pool: PoolSite, *options: str) -> float:
    """Return the PSS in MiB of the pool's processes, without the worker."""
    worker = pool.worker("--children", str(CHILDREN), "--spare", "0", *options, WEIGHT=str(WEIGHT))
    await eventually(lambda: len(pool.pids("idle")) == CHILDREN, report=lambda: worker.log)
    await pool.site.defer("do.this", "sleep:0.01", count=200)
    await eventually(lambda: pool.status()[0]["delivered"] >= 200, report=lambda: worker.log)
    pids = set(pool.site.processes) - {worker.process.pid}
    cost = sum(psutil.Process(pid).memory_full_info().pss for pid in pids)
    await _end(worker)
    return float(cost) / 1024**2


async def _end(worker: Program) -> None:
    worker.signal(signal.SIGTERM)
    await worker.ended()
