"""Faults while an app defers with its own transactions, and its listeners run once: whatever is killed, each effect is
in the app's database exactly once."""

import asyncio
import json
import os
import signal
from contextlib import suppress
from dataclasses import replace

from bridge.publishing.relay import BATCH
from tests.events import new_event
from tests.faults import node_faults, process_faults
from tests.faults.history import Following
from tests.faults.limits import STEP
from tests.faults.ordeal import TERMS, Fault
from tests.faults.stage import CHILDREN, Stage

DATABASES = ("mariadb", "postgres")
"""The stages of an app with a database."""

ATTEMPTS = 60
"""So many that a listener outlasts the absence of its database."""

PATIENT = replace(TERMS, attempts=ATTEMPTS, waits=(1.0,) * (ATTEMPTS - 1))
SETTINGS = (f"retry = {{attempts = {ATTEMPTS}, initial = '1s', base = 1, jitter = 0}}",)


async def store(stage: Stage, key: str, *steps: str) -> None:
    """Commit an order and its event. The n-th attempt of its first listener does the n-th step."""
    assert stage.database is not None
    event = new_event(f"judged.{key}", json.dumps({"do": steps}).encode())
    stage.note("invoke", key=key, pid=os.getpid(), delay=None, id=event.id)
    await asyncio.to_thread(stage.database.defer, key, event)
    stage.note("ok", key=key, pid=os.getpid())


async def kill_children_at_commits(stage: Stage) -> None:
    """Let children kill themselves before and after the commit of their effect, and kill one at a random moment."""
    names = [f"o{stage.dice.getrandbits(48):x}-0" for _ in range(CHILDREN)]
    with Following(stage.path) as following:
        for name, step in zip(names, ("kill", "kill later"), strict=True):
            await store(stage, name, step, "ok")
        stage.hurt("SIGKILL of children before and after a commit", repeats=CHILDREN)
        pid = await _child(following)
    stage.hurt("SIGKILL of a child", repeats=1, unseen=1)
    with suppress(ProcessLookupError):  # it may be one of those that have killed themselves
        os.kill(pid, signal.SIGKILL)
    await stage.reaches("attempt", 10)


async def _child(following: Following) -> int:
    """Return the pid of a child that begins an event."""
    async with asyncio.timeout(STEP):
        while True:
            for record in following.records():
                if record["what"] == "attempt":
                    return int(record["pid"])
            await asyncio.sleep(0.01)


async def kill_database(stage: Stage) -> None:
    """Kill the server of the app's database, and start it again some moments later."""
    assert stage.database is not None
    server = stage.database.server
    stage.hurt("SIGKILL of the app's database", copies=BATCH)
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(stage.dice.uniform(0, 1.0))
    await asyncio.to_thread(server.start)


async def kill_relay(stage: Stage) -> None:
    """Kill the relay of the outbox, and start a new one."""
    await stage.replace_relay()
    stage.hurt("SIGKILL of bridge-relay", copies=BATCH)


FAULTS = tuple(
    replace(fault, name=f"{fault.name}, once", terms=PATIENT, settings=SETTINGS, relays=1)
    for fault in (
        Fault("SIGKILL of a worker", process_faults.kill_worker, on=DATABASES),
        Fault("SIGKILL of children around their commits", kill_children_at_commits, on=DATABASES),
        Fault("SIGKILL of a publisher", process_faults.kill_publisher, on=DATABASES),
        Fault("SIGKILL of the app's database", kill_database, on=DATABASES),
        Fault("SIGKILL of the relay", kill_relay, on=DATABASES),
        Fault("SIGKILL of RabbitMQ", node_faults.kill, on=("postgres",)),
    )
)
_OF_PROCESSES = tuple(fault for fault in FAULTS if fault.on == DATABASES)
SHORT = (_OF_PROCESSES, tuple(fault for fault in FAULTS if fault not in _OF_PROCESSES))
"""The short ordeals: of one broker's node, and of all others, one after the other."""
