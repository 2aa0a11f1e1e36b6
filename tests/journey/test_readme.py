"""The README's small app, as a new user pastes and starts it; and the log example of docs/logging.md."""

import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guard import Guard
from tests.journey.site import PROGRAMS, Program, Site
from tests.limits import PATIENCE
from tests.ports import free_port
from tests.unit.docs.commands import lines_of
from tests.unit.docs.markdown import README, ROOT, blocks

DOCS = ROOT / "docs"


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A guard that ends the processes of the test."""
    guard = Guard(tmp_path)
    yield guard
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


async def test_the_small_app_says_hello(tmp_path: Path, guard: Guard) -> None:
    """The app works with the README's commands and its curl line. Only the port differs, since port 5000 may be in use
    on this machine."""
    port = str(free_port())
    (tmp_path / "shop.py").write_text(blocks(README, "python")[0].text, "utf-8")
    environment = {
        **guard.environment,
        "BRIDGE_CONTROL_DIRECTORY": str(tmp_path / "control"),
        "BRIDGE_PUBLISH_TIMEOUT": f"{PATIENCE:g}s",
    }

    def start(*words: str) -> Program:
        program, *arguments = (word.replace("5000", port) for word in words)
        return Program([str(PROGRAMS / program), *arguments], tmp_path, environment)

    web, worker = start(*command("flask")), start(*command("bridge-worker"))
    await web.says("Running on")
    await worker.says("ready for events")
    answer = fetched([word.replace("5000", port) for word in command("curl")])
    await worker.says("hello ann@example.org")

    assert re.fullmatch(r'\s*\{\s*"event":\s*"[0-9a-f-]{36}"\s*\}\s*', answer)
    status, letters = start(*command("bridge-status")), start(*command("bridge-dlq"))
    assert await status.ended() == 0
    assert f"worker {worker.process.pid}" in status.log
    assert await letters.ended() == 0
    assert "nothing waits for a decision" in letters.log
    [examined] = blocks(DOCS / "doctor.md", "text")
    [of_a_worker] = [line for line in examined.text.splitlines() if "workers" in line]
    doctor = start("bridge-doctor")
    assert await doctor.ended() == 0, doctor.log
    assert of_a_worker.replace("4711", str(worker.process.pid)) in doctor.log.splitlines()


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
