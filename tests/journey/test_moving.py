"""docs/production.md: the move from SQLite to RabbitMQ, and the backup of a SQLite file in use."""

import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.journey.site import Site, eventually, site_on_sqlite
from tests.unit.docs.commands import lines_of
from tests.unit.docs.markdown import ROOT, section

PAGE = ROOT / "docs" / "production.md"
APP = """
from deferred_event_bridge import DeferredEvents, Event, Reject, defer
from flask import Flask

app = Flask(__name__)
events = DeferredEvents(app)


def note(event):
    with open("done", "a") as file:
        file.write(f"{event.name} {event.payload}\\n")


@events.on("order.placed")
def first(event: Event):
    note(event)
    if event.payload == 13:
        raise Reject("no such order")
    defer("order.packed", event.payload)


@events.on("order.packed")
def second(event: Event):
    note(event)
"""


def command(heading: str, name: str) -> list[str]:
    """The first command line of this name in a section of the page."""
    text = "".join(part.partition("```")[0] for part in section(PAGE, heading).split("```sh\n")[1:])
    return next(words for words in lines_of(text) if words[0] == name)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Site]:
    """A site on SQLite with events that are due, that wait, and that are rejected."""
    site = site_on_sqlite(tmp_path)
    del site.environment["BRIDGE_BROKER_URL"], site.environment["BRIDGE_NAMESPACE"]
    (tmp_path / "shop.py").write_text(APP, "utf-8")
    yield site
    site.end()


def run(site: Site, *words: str) -> str:
    """Run a program of the site to its end; return what it prints."""
    program = site.run(*words)
    assert program.process.wait(60) == 0, program.log
    return program.log


def done(site: Site) -> list[str]:
    """What the listeners have noted."""
    file = site.directory / "done"
    return sorted(file.read_text("utf-8").splitlines()) if file.exists() else []


def back_up(file: Path, instruction: str) -> None:
    """Let SQLite back up a file, by its program; without it on this machine, by what that program calls."""
    if shutil.which("sqlite3"):
        subprocess.run(["sqlite3", file, instruction], check=True, timeout=30)
    else:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(instruction.split()[1])) as copy:
            source.backup(copy)


@pytest.mark.rabbitmq
async def test_a_site_moves_to_rabbitmq(old: Site, rabbitmq_url: str) -> None:
    """The old file is run to its end by its own worker, with what waits and what its listeners defer; new events go to
    RabbitMQ; the dead letter is still in the old file."""
    old.configure(f'broker_url = "sqlite:///{old.directory}/bridge.db"\n')
    worker = old.run("bridge-worker", "shop:app", "--children", "1")
    await worker.says("ready for events")
    worker.process.terminate()
    await worker.ended()
    for number, delay in ((1, "0"), (2, "4s"), (13, "0")):
        run(old, "bridge-defer", "order.placed", str(number), "--delay", delay)
    shutil.copy(old.directory / "bridge.toml", old.directory / "sqlite.toml")
    old.configure(f'broker_url = "{rabbitmq_url}"\nnamespace = "n{uuid.uuid4().hex[:10]}"\n')

    new = old.run("bridge-worker", "shop:app", "--children", "1")
    await new.says("ready for events")
    run(old, "bridge-defer", "order.placed", "3")
    await eventually(lambda: "order.packed 3" in done(old))
    assert done(old) == ["order.packed 3", "order.placed 3"]

    run(old, *command("Move from SQLite to RabbitMQ", "bridge-worker"))

    assert done(old) == sorted(
        [*(f"order.{step} {n}" for n in (1, 2, 3) for step in ("packed", "placed")), "order.placed 13"]
    )
    assert "order.placed" in run(old, *command("Move from SQLite to RabbitMQ", "bridge-dlq"))
    assert "No open dead letters" in run(old, "bridge-dlq", "list")


async def test_a_backup_of_a_file_in_use_has_its_events(old: Site) -> None:
    """Made by the page's command while a worker runs."""
    worker = old.run("bridge-worker", "shop:app", "--children", "1")
    await worker.says("ready for events")
    run(old, "bridge-defer", "order.later", "1", "--delay", "1h")

    [_, file, instruction] = command("Backups", "sqlite3")
    back_up(old.directory / Path(file).name, instruction.replace("/var/backups/", f"{old.directory}/copy-"))

    listed = run(old, "bridge-queues", "list", "--broker-url", f"sqlite:///{old.directory}/copy-bridge.db", "--json")
    assert '"waiting": 1' in listed or '"waiting":1' in listed, listed
