"""A worker whose pool lies: the event is settled by what is certain, and the worker goes on, as small as it was.

All lies are told to a slot in `tests/unit/worker/test_lying_server.py`; here are some of each kind, to the program.
"""

import re
import signal
from pathlib import Path

import pytest

from tests.journey.lying_server import BREACHES, HEAD, Lie, LyingServer, endless, truth
from tests.journey.site import Program, Site, eventually
from tests.unit.fastcgi.application import OVERLOADED, STDERR, STDOUT, UNKNOWN_ROLE, end, record

RETRY = "deadline = '3s'\nretry = {attempts = 2, initial = '1s', base = 1, jitter = 0}\n"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def here(here: Site) -> Site:
    """A site on SQLite, whose events are tried twice."""
    here.configure(RETRY)
    return here


def worker(site: Site, *arguments: str) -> Program:
    """A worker on the pool that lies, with one connection to it."""
    return site.run("bridge-worker", "--fastcgi", f"unix:{site.directory}/s", "--connections", "1", *arguments)


def memory(program: Program) -> int:
    """The most memory that the program has had at a time, in bytes."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


LIES: dict[str, Lie] = {
    "1 GB of stderr": endless(b"x" * 65_535, STDERR),
    "a body that never ends": endless(b"x" * 65_535, begin=record(STDOUT, HEAD)),
    "empty records": endless(b"", STDERR),
    "100,000 headers": lambda: [BREACHES["100,000 headers"]],
    "another protocol": lambda: [BREACHES["another protocol"]],
    "nothing": list,
}


async def test_a_worker_outlives_what_its_pool_says(here: Site) -> None:
    """One lie after the other: each costs its event one attempt, none the worker much memory."""
    server = LyingServer(*LIES.values())
    async with server.listening(here.directory / "s"):
        program = worker(here)
        await program.says("ready for events")
        before = memory(program)
        await here.defer("do.this", count=len(LIES))
        await eventually(lambda: program.log.count("attempt=1") == len(LIES), report=lambda: program.log)
        await eventually(lambda: server.requests == 2 * len(LIES), report=lambda: program.log)
        assert memory(program) - before < 16 * MEBIBYTE
        program.signal(signal.SIGTERM)
        assert await program.ended() == 0
    assert f"ended: {len(LIES)} delivered, {len(LIES)} retries, 0 dead-lettered" in program.log
    assert program.log.count("WARNING") == len(LIES), program.log


async def test_an_overloaded_server_is_asked_again_and_no_attempt_is_spent(here: Site) -> None:
    """However often it refuses; it is said once."""
    refusals: list[Lie] = [lambda: [end(OVERLOADED)]] * 4
    server = LyingServer(*refusals)
    async with server.listening(here.directory / "s"):
        await here.defer("do.this", count=3)
        program = worker(here, "--until-settled")
        assert await program.ended() == 0, program.log
    assert server.requests == 7
    assert "ended: 3 delivered, 0 retries, 0 dead-lettered" in program.log
    assert program.log.count("takes no requests") == program.log.count("takes requests again") == 1, program.log


async def test_a_server_of_another_role_ends_the_worker_with_a_sentence(here: Site) -> None:
    """It will never take an event; those are kept for a worker that is set right."""
    server = LyingServer(lambda: [end(UNKNOWN_ROLE)])
    async with server.listening(here.directory / "s"):
        await here.defer("do.this", count=3)
        program = worker(here)
        assert await program.ended() == 2, program.log
        assert "expected servers of the Responder role" in program.log
        program = worker(here, "--until-settled")
        assert await program.ended() == 0, program.log
    assert "ended: 3 delivered, 0 retries, 0 dead-lettered" in program.log


async def test_a_reply_that_is_cut_anywhere_costs_one_attempt(here: Site) -> None:
    """The event comes again, and is delivered."""
    server = LyingServer(lambda: [truth()[: len(truth()) // 2]], leaves=True)
    async with server.listening(here.directory / "s"):
        await here.defer("do.this")
        program = worker(here, "--until-settled")
        assert await program.ended() == 0, program.log
    assert "ended: 1 delivered, 1 retries, 0 dead-lettered" in program.log
