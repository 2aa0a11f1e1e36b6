"""Watchers that bridge.toml names, in every program of a site: app, worker, pool and relay. The first of two watchers
raises at every moment, which must have no effect except a log record."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from bridge.publishing.spool.spool_file import SpoolFile
from bridge.publishing.spool.store import Store
from tests.deadlines import within
from tests.events import new_event
from tests.journey.pool_program import pool_of
from tests.journey.site import PROGRAMS, Site, eventually
from tests.journey.spooling import SPOOL, arrived
from tests.limits import PATIENCE
from tests.lines import whole_lines

WATCHED = """
watchers = ["watching:broken", "watching:note"]
retry = {attempts = 2, initial = "1s", base = 1, jitter = 0}
release = "v7"
"""


def watch(site: Site) -> None:
    """Configure both watchers for the site's programs."""
    site.configure(WATCHED)
    site.environment["MOMENTS"] = str(site.directory / "moments")


def moments(site: Site, **wanted: Any) -> list[dict[str, Any]]:
    """Return the lines of the second watcher, in order; only those with the `wanted` values."""
    lines = [json.loads(line) for line in whole_lines(Path(site.environment["MOMENTS"]))]
    return [line for line in lines if all(line.get(key) == value for key, value in wanted.items())]


def names(lines: list[dict[str, Any]]) -> list[str]:
    """Return the names of the moments."""
    return [line["moment"] for line in lines]


def defer_in_the_app(site: Site, *steps: str) -> str:
    """Defer an event by the app's `defer()` in a process of its own; return the event's id."""
    program = f"from behaving import events; print(events.defer('do.this', {{'do': {list(steps)}}}))"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=site.directory,
        env=os.environ | site.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


async def test_watchers_of_app_and_worker(here: Site) -> None:
    """The watchers get the moments of a failed event, an event that kills its child, and a rejected one."""
    watch(here)
    failing, killing, rejected = (
        defer_in_the_app(here, *steps) for steps in (("fail", "ok"), ("kill", "ok"), ("reject",))
    )
    worker = here.worker("--until-settled")
    assert await worker.ended() == 0, worker.log

    app = moments(here, moment="Deferred")
    assert [line["event"] for line in app] == [failing, killing, rejected]
    for event, ends in ((failing, "Ack"), (killing, "Ack"), (rejected, "DeadLetter")):
        *_, last = lines = moments(here, event=event, pid=worker.process.pid)
        attempts = 1 if event == rejected else 2
        assert names(lines) == ["Taken", "Begun", "Settled"] * attempts
        assert [line["attempt"] for line in lines] == sorted([*range(1, attempts + 1)] * 3)
        assert (last["settlement"], last["queue"], last["release"]) == (ends, "default", "v7")
    seated = [line["child"] for line in moments(here, moment="ChildSeated", program="bridge-worker")]
    (lost,) = moments(here, moment="ChildLost", program="bridge-worker")
    assert lost["child"] in seated[:2]
    assert "2 delivered, 2 retries, 1 dead-lettered" in worker.log
    assert "watcher watching.broken failed" in worker.log


async def test_watchers_of_bridge_pool(here: Site) -> None:
    """The watchers get the moments of a killed child and of its replacement."""
    watch(here)
    pool = await pool_of(here)
    (first,) = moments(here, moment="ChildSeated")
    os.kill(first["child"], signal.SIGKILL)
    await eventually(lambda: len(moments(here)) == 3, report=lambda: pool.log)
    pool.signal(signal.SIGTERM)

    assert await pool.ended() == 0, pool.log
    _, lost, second = moments(here, program="bridge-pool")
    assert (lost["moment"], lost["child"]) == ("ChildLost", first["child"])
    assert (second["moment"], second["child"] != first["child"]) == ("ChildSeated", True)


async def test_watchers_of_bridge_defer(here: Site) -> None:
    """The watchers get the moment of an event that `bridge-defer` defers."""
    watch(here)
    async with here.broker():
        pass  # makes the SQLite file, which bridge-defer does not
    run = here.run("bridge-defer", "do.this", "1")
    assert await run.ended() == 0, run.log
    (deferred,) = moments(here, moment="Deferred", program="bridge-defer")
    assert deferred["event"] in run.log


@pytest.mark.rabbitmq
async def test_watchers_of_bridge_relay(rabbitmq_url: str, tmp_path: Path) -> None:
    """The watchers get a moment for each relayed event that the broker has confirmed, in the order of the spool."""
    site = Site(tmp_path, rabbitmq_url, f"j{uuid.uuid4().hex[:10]}")
    watch(site)
    site.environment["BRIDGE_SPOOL"] = SPOOL
    made = [new_event("do.this", str(number).encode()) for number in range(3)]
    store = Store(SpoolFile(tmp_path / SPOOL, 1024**2, site.namespace))
    for event in made:
        await store.add(event, None, within(PATIENCE))
    await store.close()
    try:
        relay = site.run("bridge-relay")
        await relay.says("3 events from the spool")
        relay.signal(signal.SIGTERM)
        assert await relay.ended() == 0, relay.log
        assert await arrived(site, 3) == [0, 1, 2]
        assert [line["event"] for line in moments(site, moment="Relayed")] == [event.id for event in made]
    finally:
        await asyncio.to_thread(site.remove)


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("bridge-worker", ("behaving:app",)),
        ("bridge-worker", ("--fastcgi", "unix:/tmp/nowhere.sock")),
        ("bridge-pool", ("fronted:app", "--bind", "unix:/tmp/nowhere-bound.sock")),
    ],
)
async def test_a_watcher_that_cannot_be_imported_stops_the_start(
    here: Site, program: str, arguments: tuple[str, ...]
) -> None:
    """The program ends with exit code 2, before it boots a child or binds a socket."""
    here.configure("watchers = ['watching:nothing']")
    run = here.run(program, *arguments)
    assert await run.ended() == 2, run.log
    assert "watchers = 'watching:nothing' (from " in run.log
    assert "AttributeError" in run.log
    assert "warm" not in run.log


def test_an_app_with_a_watcher_that_cannot_be_imported_does_not_start(here: Site) -> None:
    """The web server ends with an error that names the setting."""
    here.configure("watchers = ['watching:nothing']")
    run = subprocess.run(
        [str(PROGRAMS / "flask"), "--app", "behaving:app", "routes"],
        cwd=here.directory,
        env=os.environ | here.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "SettingsError: watchers = 'watching:nothing' (from " in run.stderr
