"""A worker whose pool breaks the FastCGI protocol: it settles the events, keeps running, and needs no more memory.

`tests/unit/worker/slots/test_lying_server.py` sends every invalid reply to a slot; here the whole program gets some.
"""

import re
import signal
from pathlib import Path

import pytest

from tests.journey.lying_server import BREACHES, HEAD, OTHER_PROTOCOLS, Lie, LyingServer, endless, truth
from tests.journey.site import Program, Site, eventually
from tests.unit.bridge.fastcgi.application import OVERLOADED, STDERR, STDOUT, UNKNOWN_ROLE, end, record

RETRY = "retry = {attempts = 2, initial = '1s', base = 1, jitter = 0}\n"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def here(here: Site) -> Site:
    """A site on SQLite, with two attempts for an event."""
    here.configure(RETRY)
    return here


def worker(site: Site, *arguments: str, connections: int = 1) -> Program:
    """Start a worker on the lying server, with so many connections."""
    address = ("--fastcgi", f"unix:{site.directory}/s", "--connections", str(connections))
    return site.run("bridge-worker", *address, *arguments)


def memory(program: Program) -> int:
    """Return the peak resident memory of the program in bytes."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


LIES: dict[str, Lie] = {
    "1 GB of stderr": endless(b"x" * 65_535, STDERR),
    "a body that never ends": endless(b"x" * 65_535, begin=record(STDOUT, HEAD)),
    "empty records": endless(b"", STDERR),
    "nothing": list,
    "100,000 headers": lambda: [BREACHES["100,000 headers"]],
    "another version": lambda: [BREACHES["version 2"]],
}


async def test_a_worker_survives_invalid_replies(here: Site) -> None:
    """Each invalid reply costs its event one attempt, and all of them together the worker less than 16 MiB of memory.
    Those without an end last until the deadline."""
    here.configure(RETRY + "deadline = '12s'\n")
    server = LyingServer(*LIES.values())
    async with server.listening(here.directory / "s"):
        program = worker(here, connections=len(LIES))
        await program.says("ready for events")
        before = memory(program)
        await here.defer("do.this", count=len(LIES))
        await eventually(lambda: program.log.count("attempt=1") == len(LIES), report=lambda: program.log)
        await eventually(lambda: server.requests == 2 * len(LIES), report=lambda: program.log)
        assert memory(program) - before < 16 * MEBIBYTE
        program.signal(signal.SIGTERM)
        assert await program.ended() == 0
    assert f"ended: {len(LIES)} delivered, {len(LIES)} retries, 0 dead-lettered" in program.log
    assert program.log.count("retry scheduled") == len(LIES), program.log


async def test_an_overloaded_server_is_asked_again_and_no_attempt_is_spent(here: Site) -> None:
    """An event that the server refuses four times keeps its attempts, and the refusal is logged once."""
    refusals: list[Lie] = [lambda: [end(OVERLOADED)]] * 4
    server = LyingServer(*refusals)
    async with server.listening(here.directory / "s"):
        await here.defer("do.this", count=3)
        program = worker(here, "--until-settled")
        assert await program.ended() == 0, program.log
    assert server.requests == 7
    assert "ended: 3 delivered, 0 retries, 0 dead-lettered" in program.log
    assert program.log.count("takes no requests") == program.log.count("takes requests again") == 1, program.log


async def test_a_server_of_another_role_ends_the_worker_with_an_error(here: Site) -> None:
    """The worker ends with exit code 2, since the server accepts no events, and the events stay in their queue."""
    server = LyingServer(lambda: [end(UNKNOWN_ROLE)])
    async with server.listening(here.directory / "s"):
        await here.defer("do.this", count=3)
        program = worker(here)
        assert await program.ended() == 2, program.log
        assert "expected FastCGI servers of the Responder role" in program.log
        program = worker(here, "--until-settled")
        assert await program.ended() == 0, program.log
    assert "ended: 3 delivered, 0 retries, 0 dead-lettered" in program.log


async def test_a_reply_that_is_cut_anywhere_costs_one_attempt(here: Site) -> None:
    """The event of a truncated reply is retried and delivered."""
    server = LyingServer(lambda: [truth()[: len(truth()) // 2]], leaves=True)
    async with server.listening(here.directory / "s"):
        await here.defer("do.this")
        program = worker(here, "--until-settled")
        assert await program.ended() == 0, program.log
    assert "ended: 1 delivered, 1 retries, 0 dead-lettered" in program.log


async def test_an_http_server_ends_the_worker_and_spends_no_attempt(here: Site) -> None:
    """The worker ends with exit code 2 and says what the server answered. The event waits in its queue."""
    server = LyingServer(lambda: [OTHER_PROTOCOLS["HTTP"]])
    async with server.listening(here.directory / "s"):
        await here.defer("do.this")
        program = worker(here)

        assert await program.ended() == 2
    assert "is not used any more" in program.log
    assert "b'HTTP/1.1' is another protocol" in program.log
    assert "attempt=1" not in program.log
