"""docs/production.md: the move from SQLite to RabbitMQ, and the backup of a SQLite file in use."""

import re
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.journey.site import Site, eventually, site_on_sqlite
from tests.limits import PATIENCE
from tests.lines import whole_lines
from tests.unit.docs.commands import lines_of
from tests.unit.docs.markdown import ROOT, section

PAGE = ROOT / "docs" / "production.md"
MOVE = "Move from SQLite to RabbitMQ"
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
    assert program.process.wait(PATIENCE) == 0, program.log
    return program.log


def done(site: Site) -> list[str]:
    """What the listeners have noted."""
    return sorted(whole_lines(site.directory / "done"))


def back_up(file: Path, instruction: str) -> None:
    """Let SQLite back up a file, by its program; without it on this machine, by what that program calls."""
    if shutil.which("sqlite3"):
        subprocess.run(["sqlite3", file, instruction], check=True, timeout=PATIENCE)
    else:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(instruction.split()[1])) as copy:
            source.backup(copy)


def moves(site: Site) -> list[list[str]]:
    """The page's command lines of the move, with the old file of the site."""
    text = "".join(part.partition("```")[0] for part in section(PAGE, MOVE).split("```sh\n")[1:])
    found = [words for words in lines_of(text) if words[0] == "bridge-move"]
    return [[word.replace("/var/lib/shop", str(site.directory)) for word in words] for words in found]


@pytest.mark.rabbitmq
async def test_a_site_moves_to_rabbitmq(old: Site, rabbitmq_url: str) -> None:
    """Events and dead letters of the old file go to RabbitMQ, where a worker runs already. The file is empty then, and
    each event has run once."""
    namespace = f'namespace = "n{uuid.uuid4().hex[:10]}"\n'
    old.configure(f'broker_url = "sqlite:///{old.directory}/bridge.db"\n{namespace}')
    worker = old.run("bridge-worker", "shop:app", "--children", "1")
    await worker.says("ready for events")
    run(old, "bridge-defer", "order.placed", "13")
    await eventually(lambda: "order.placed 13" in done(old), report=lambda: worker.log)
    worker.process.terminate()
    await worker.ended()
    run(old, "bridge-defer", "order.placed", "1")
    run(old, "bridge-defer", "order.placed", "2", "--delay", "3s")
    run(old, "bridge-defer", "order.placed", "4", "--delay", "30d")
    old.configure(f'broker_url = "{rabbitmq_url}"\n{namespace}')

    worker = old.run("bridge-worker", "shop:app", "--children", "1")
    await worker.says("ready for events")
    run(old, "bridge-defer", "order.placed", "3")
    counted, moved = (run(old, *words) for words in moves(old))

    for report in (counts(counted), counts(moved)):
        assert sorted(report.values()) == ["1", "1", "2"]  # one has come due, or not yet
        assert report["dead letters"] == "1"
        assert report.keys() == {"events that are due", "events that are delayed", "dead letters"}
    both = sorted(f"order.{step} {number}" for number in (1, 2, 3) for step in ("packed", "placed"))
    await eventually(lambda: done(old) == sorted([*both, "order.placed 13"]), report=lambda: worker.log)
    assert "order.placed" in run(old, "bridge-dlq", "list")
    assert counts(run(old, *moves(old)[0])) == {}


def counts(report: str) -> dict[str, str]:
    """The counts above 0 in the first column of a report."""
    rows = (re.fullmatch(r"([a-z ]+?)  +([\d,]+)(  .*)?", line) for line in report.splitlines())
    return {row[1]: row[2] for row in rows if row is not None and row[2] != "0"}


async def test_a_backup_of_a_file_in_use_has_its_events(old: Site) -> None:
    """Made by the page's command while a worker runs."""
    worker = old.run("bridge-worker", "shop:app", "--children", "1")
    await worker.says("ready for events")
    run(old, "bridge-defer", "order.later", "1", "--delay", "1h")

    [_, file, instruction] = command("Backups", "sqlite3")
    back_up(old.directory / Path(file).name, instruction.replace("/var/backups/", f"{old.directory}/copy-"))

    listed = run(old, "bridge-queues", "list", "--broker-url", f"sqlite:///{old.directory}/copy-bridge.db", "--json")
    assert '"waiting": 1' in listed or '"waiting":1' in listed, listed
