"""The README's apps, as a new user pastes and starts them; and the log example of docs/logging.md."""

import asyncio
import re
import shutil
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.guard import Guard
from tests.journey.site import PROGRAMS, Program, Site, eventually
from tests.limits import PATIENCE
from tests.ports import free_port
from tests.unit.docs.commands import lines_of
from tests.unit.docs.markdown import README, ROOT, Block, blocks

DOCS = ROOT / "docs"


class Shop:
    """The directory of the README's reader, who types the README's commands. Only the port differs, since port 5000 may
    be in use on this machine."""

    def __init__(self, directory: Path, guard: Guard) -> None:
        self.directory = directory
        self._port = str(free_port())
        self._environment = {
            **guard.environment,
            "BRIDGE_CONTROL_DIRECTORY": str(directory / "control"),
            "BRIDGE_PUBLISH_TIMEOUT": f"{PATIENCE:g}s",
        }

    def save(self, app: Block) -> None:
        """Save a block as the app."""
        (self.directory / "shop.py").write_text(app.text, "utf-8")

    def start(self, *words: str) -> Program:
        """Start a program in a terminal of its own."""
        program, *arguments = self._typed(words)
        return Program([str(PROGRAMS / program), *arguments], self.directory, self._environment)

    def fetched(self, curl: list[str]) -> str:
        """Return the response to a curl command line."""
        return fetched(self._typed(curl))

    def _typed(self, words: Iterable[str]) -> list[str]:
        return [word.replace("5000", self._port) for word in words]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop whose programs end after the test."""
    guard = Guard(tmp_path)
    yield Shop(tmp_path, guard)
    guard.clear()


def command(name: str) -> list[str]:
    """Return the first command of this name in the README."""
    lines = (words for block in blocks(README, "sh") for words in lines_of(block.text))
    return next(words for words in lines if words[0] == name)


def fetched(curl: list[str]) -> str:
    """Return the response to a curl command line. Without curl on this machine, send the same request from Python."""
    if shutil.which("curl"):
        done = subprocess.run([*curl, "--silent", "--show-error"], capture_output=True, text=True, check=True)
        return done.stdout
    headers = dict([curl[curl.index("-H") + 1].split(": ")])
    request = urllib.request.Request(curl[-1], curl[curl.index("-d") + 1].encode(), headers)
    with urllib.request.urlopen(request) as response:
        answer: bytes = response.read()
    return answer.decode()


async def test_the_small_app_says_hello(shop: Shop) -> None:
    """The app works with the README's commands and its curl line."""
    shop.save(blocks(README, "python")[0])

    web, worker = shop.start(*command("flask")), shop.start(*command("bridge-worker"))
    await web.says("Running on")
    await worker.says("ready for events")
    answer = shop.fetched(command("curl"))
    await worker.says("hello ann@example.org")

    assert re.fullmatch(r'\s*\{\s*"event":\s*"[0-9a-f-]{36}"\s*\}\s*', answer)
    status, letters = shop.start(*command("bridge-status")), shop.start(*command("bridge-dlq"))
    assert await status.ended() == 0
    assert f"worker {worker.process.pid}" in status.log
    assert await letters.ended() == 0
    assert "nothing waits for a decision" in letters.log
    [examined] = blocks(DOCS / "doctor.md", "text")
    [of_a_worker] = [line for line in examined.text.splitlines() if "workers" in line]
    doctor = shop.start("bridge-doctor")
    assert await doctor.ended() == 0, doctor.log
    assert of_a_worker.replace("4711", str(worker.process.pid)) in doctor.log.splitlines()


async def test_the_app_with_a_session_greets(shop: Shop) -> None:
    """The store is named and the relay started as the README says; the listener's effect is in the app's database."""
    shop.save(blocks(README, "python")[1])
    [block] = [block for block in blocks(README, "sh") if "bridge-relay" in block.text]
    name_store = block.text.splitlines()[0]
    await asyncio.to_thread(subprocess.run, name_store, shell=True, cwd=shop.directory, check=True)

    started = list[Program]()
    for name, text in (
        ("flask", "Running on"),
        ("bridge-worker", "ready for events"),
        ("bridge-relay", "relaying the events"),
    ):
        started.append(shop.start(*command(name)))
        await started[-1].says(text)  # one after the other, as a person starts them: the first one makes the tables
    shop.fetched(command("curl"))

    with closing(sqlite3.connect(shop.directory / "shop.db")) as database:
        await eventually(
            lambda: database.execute("SELECT email, greetings FROM account").fetchall() == [("ann@example.org", 1)],
            report=lambda: "\n".join(program.log for program in started),
        )


async def test_the_log_reads_as_its_page_shows(here: Site) -> None:
    """The app of docs/listening.md logs the lines of docs/logging.md for an event without an address, and for one with
    an invalid address."""
    (here.directory / "page.py").write_text("\n".join(block.text for block in blocks(DOCS / "listening.md", "python")))
    async with here.broker():
        pass  # makes the SQLite file, which bridge-defer does not
    for payload in ("{}", '{"email": "nobody"}'):
        deferred = here.run("bridge-defer", "account.created", payload)
        assert await deferred.ended() == 0, deferred.log
    worker = here.worker("--until-empty", app="page:app", own_boot=True)
    assert await worker.ended() == 0, worker.log

    [example] = blocks(DOCS / "logging.md", "text")
    for line in example.text.splitlines():
        assert re.search(f"(?m)^{general(line)}$", worker.log), worker.log


def general(line: str) -> str:
    """Return a pattern for the line with any time, id and number."""
    words = re.split(r"([0-9][0-9a-f:T.+-]*)", line)
    return "".join(r"[0-9a-f][0-9a-f:T.+-]*" if at % 2 else re.escape(word) for at, word in enumerate(words))
