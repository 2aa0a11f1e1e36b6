"""Faults of processes: killed, stopped, forked, asked to end or to reload, at random moments and at exact points."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.faults.directed import defer, pause, resume
from tests.faults.dying import POINTS, broker
from tests.faults.history import Following, Record
from tests.faults.limits import STEP
from tests.faults.ordeal import BOTH, Fault
from tests.faults.stage import CHILDREN, DEADLINE, HELD_BY_A_WORKER, THREADS, WAITS, Stage
from tests.faults.tolerances import CLEAN_UP
from tests.journey.site import Program, eventually

FORKS = 4
"""How many times a publisher is asked to fork."""

BACKLOG = 180.0
"""Seconds that an event may wait for the events that were published before it."""


async def kill_worker(stage: Stage) -> None:
    """Kill a worker, and start a new one."""
    pid = await stage.kill(stage.dice.choice(stage.workers))
    stage.hurt("SIGKILL of a worker", repeats=HELD_BY_A_WORKER, killed=(pid,))
    await stage.start_worker()


async def kill_worker_at_points(stage: Stage) -> None:
    """Start additional workers that die between effect, retry copy and ack; then replace a worker."""
    arguments = ("judged:app", "--children", "1", "--spare", "0")
    points = POINTS["worker"][broker(stage.site.broker_url)]
    await asyncio.gather(
        *(_dies(stage, point, "worker", *arguments, repeats=HELD_BY_A_WORKER // CHILDREN, copies=1) for point in points)
    )
    await _replaced(stage)


async def kill_publisher(stage: Stage) -> None:
    """Kill a publisher while its threads are anywhere between commit, publish and confirm; start a new one."""
    pid = await stage.kill(stage.dice.choice(stage.publishers))
    stage.hurt("SIGKILL of a publisher", killed=(pid,))
    stage.start_publisher()


async def kill_publisher_at_points(stage: Stage) -> None:
    """Start additional publishers that die before the publish, between publish and confirm, and after the confirm."""
    points = POINTS["publisher"][broker(stage.site.broker_url)]
    names = [f"d{stage.count('hurt')}{letter}" for letter in "abc"]
    await asyncio.gather(
        *(_dies(stage, point, "publisher", name, str(THREADS), "40") for point, name in zip(points, names, strict=True))
    )


async def _dies(stage: Stage, point: str, program: str, *arguments: str, repeats: int = 0, copies: int = 0) -> None:
    number = str(stage.dice.randint(5, 25))
    command = [sys.executable, "-m", "tests.faults.dying", point, number, program, *arguments]
    doomed = Program(command, stage.site.directory, stage.site.environment)
    code = await doomed.ended(STEP)
    assert code == -signal.SIGKILL, f"{program} with {point!r} ended with {code}: {doomed.log}"
    act = f"SIGKILL of a {program}: {point}"
    stage.hurt(act, repeats=repeats, copies=copies, killed=(doomed.process.pid,))


async def fork_publisher(stage: Stage) -> None:
    """Let a publisher fork several times while its threads publish; parent and child both publish on."""
    name = f"f{stage.count('hurt')}"
    command = [sys.executable, "-m", "tests.faults.forking_publisher", name, str(THREADS), str(stage.rate)]
    with Following(stage.path) as following:
        forking = Program(command, stage.site.directory, stage.site.environment)
        pid = forking.process.pid
        await _first(stage, following, lambda record: record["what"] == "invoke" and record["pid"] == pid, STEP)
    for _ in range(FORKS):
        forking.signal(signal.SIGUSR1)
        await asyncio.sleep(stage.dice.uniform(0, 0.5))
    await stage.reaches("ok", 30)
    forking.signal(signal.SIGTERM)
    assert await forking.ended(STEP) == 0, forking.log
    stage.hurt("forks in mid-publish")


async def kill_child(stage: Stage) -> None:
    """Kill children in mid-request, and kill or end children at random moments."""
    await asyncio.gather(*(_run(stage, "kill", "ok") for _ in range(CHILDREN)))
    stage.hurt("SIGKILL of children by an event", repeats=CHILDREN)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        pid = await _in_use(stage)
        os.kill(pid, number)
        stage.hurt(f"{number.name} of a child", repeats=1, unseen=1)
        await _ended(stage, pid, STEP)
        await stage.reaches("effect", 5)


async def stop_child(stage: Stage) -> None:
    """Stop two children by SIGSTOP, one in mid-request and one at a random moment. The worker ends each at its
    deadline, and the event runs in another child."""
    stopping = asyncio.create_task(_run(stage, "stop", "ok"))
    pid = await _in_use(stage)
    os.kill(pid, signal.SIGSTOP)
    stage.hurt("SIGSTOP of two children", repeats=2, unseen=1)
    await stopping
    await _ended(stage, pid, DEADLINE + CLEAN_UP + STEP)


async def end_workers(stage: Stage) -> None:
    """End workers by SIGTERM just after their start, under load, and twice in a row; other workers replace them."""
    beginner = stage.site.run("bridge-worker", "judged:app")
    await asyncio.sleep(stage.dice.uniform(0, 1.5))
    beginner.process.send_signal(signal.SIGTERM)  # also before it handles it
    assert await beginner.ended(STEP) in (0, -signal.SIGTERM), beginner.log
    await _replaced(stage)
    stage.hurt("SIGTERM of a worker")
    await _replaced(stage, again_after=stage.dice.uniform(0, 0.05))
    stage.hurt("SIGTERM of a worker, twice", repeats=CHILDREN)


async def _replaced(stage: Stage, again_after: float | None = None) -> None:
    await stage.start_worker()
    old = stage.workers.pop(0)
    old.signal(signal.SIGTERM)
    if again_after is not None:
        await asyncio.sleep(again_after)
        if old.process.poll() is None:
            old.signal(signal.SIGTERM)
    # A second SIGTERM ends a worker at once, by the signal, even if it was just about to exit by itself.
    assert await old.ended(STEP) in ((0,) if again_after is None else (0, -signal.SIGTERM)), old.log


async def reload_worker(stage: Stage) -> None:
    """Ask a worker by SIGHUP to reload its app, several times in a row."""
    worker = stage.dice.choice(stage.workers)
    before = set(worker.children)
    for _ in range(3):
        worker.signal(signal.SIGHUP)
        await asyncio.sleep(stage.dice.uniform(0, 0.5))
    await eventually(lambda: not before & set(worker.children), STEP, stage.report)
    stage.hurt("SIGHUP of a worker")


async def pause_under_kills(stage: Stage) -> None:
    """Pause the queue, and kill and replace a worker meanwhile; then resume the queue."""
    await pause(stage)
    await kill_worker(stage)
    await asyncio.sleep(stage.dice.uniform(0, 1.0))
    await resume(stage)


async def _run(stage: Stage, *steps: str) -> None:
    """Defer an event whose attempts do these steps, and wait for its effect."""
    with Following(stage.path) as following:
        (key,) = await defer(stage, f"o{stage.dice.getrandbits(48):x}", *steps)
        within = (DEADLINE + CLEAN_UP) * len(steps) + sum(WAITS) + STEP + BACKLOG
        await _first(stage, following, lambda record: record["what"] == "effect" and record["key"] == key, within)


async def _in_use(stage: Stage) -> int:
    """Return the pid of the child that begins the next event."""
    with Following(stage.path) as following:
        record = await _first(stage, following, lambda record: record["what"] == "attempt", STEP)
    return int(record["pid"])


async def _first(stage: Stage, following: Following, wanted: Callable[[Record], bool], within: float) -> Record:
    found: list[Record] = []

    def was_found() -> bool:
        found.extend(filter(wanted, following.records()))
        return bool(found)

    await eventually(was_found, within, stage.report)
    return found[0]


async def _ended(stage: Stage, pid: int, within: float) -> None:
    """Wait until a process has ended and its parent has reaped it."""
    await eventually(lambda: not Path(f"/proc/{pid}").exists(), within, stage.report)


FAULTS = (
    Fault("SIGKILL of a worker", kill_worker, on=BOTH),
    Fault("SIGKILL of a worker between effect, retry copy and ack", kill_worker_at_points, on=BOTH),
    Fault("SIGKILL of a publisher", kill_publisher, on=BOTH),
    Fault("SIGKILL of a publisher between publish and confirm", kill_publisher_at_points, on=BOTH),
    Fault("forks of a publisher during publishes", fork_publisher, on=BOTH),
    Fault("SIGKILL of children in mid-request", kill_child, on=BOTH),
    Fault("SIGSTOP of children", stop_child, on=BOTH),
    Fault("SIGTERM of workers", end_workers, on=BOTH),
    Fault("reload of a worker", reload_worker, on=BOTH),
    Fault("SIGKILL of a worker while its queue is paused", pause_under_kills, on=BOTH, workers=2),
)
_NAMED = {fault.name: fault for fault in FAULTS}

SHORT: tuple[tuple[Fault, ...], ...] = (
    (_NAMED["SIGKILL of a worker"], _NAMED["forks of a publisher during publishes"]),
    (
        _NAMED["SIGKILL of a worker between effect, retry copy and ack"],
        _NAMED["SIGKILL of a publisher between publish and confirm"],
    ),
    (_NAMED["SIGKILL of children in mid-request"], _NAMED["SIGKILL of a publisher"]),
    (_NAMED["SIGSTOP of children"],),
    (_NAMED["SIGTERM of workers"],),
    (_NAMED["reload of a worker"],),
    (_NAMED["SIGKILL of a worker while its queue is paused"],),
)
"""The short ordeals. Faults of different processes are done at the same time."""
