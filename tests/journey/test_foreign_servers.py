"""Foreign pools other than PHP-FPM: a libfcgi program in C, and flup's own threaded server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journey.foreign_pools import SIZES, defer_data, worker
from tests.journey.site import Program, Site
from tests.ports import free_port

RECEIVER = Path(__file__).parents[2] / "examples" / "c" / "receiver.c"


def spawned(site: Site) -> str:
    """Compile the C example and spawn two processes of it; return their address."""
    program, address = site.directory / "receiver", site.directory / "c.sock"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(RECEIVER), "-lfcgi"], check=True)
    spawning = ["spawn-fcgi", "-s", str(address), "-F", "2", "--", str(program)]
    subprocess.run(spawning, check=True, capture_output=True, env={**os.environ, **site.environment})
    return f"unix:{address}"


async def test_a_c_program_with_libfcgi_is_a_pool(here: Site) -> None:
    """The program receives every byte, as the checksum that it writes to stderr proves."""
    address = spawned(here)
    bodies = [os.urandom(size) for size in SIZES]
    here.configure("max_body = '16MiB'\n")
    ids = await defer_data(here, "reject.data", *bodies)
    await here.defer("do.this", count=20)
    program = worker(here, "--fastcgi", address, "--connections", "2", "--until-settled")
    assert await program.ended() == 0, program.log
    assert "20 delivered, 0 retries, 7 dead-lettered" in program.log
    letters = await here.letters()
    outputs = {letter.envelope.event.id: letter.transcript.error_output for letter in letters if letter.transcript}
    for id_, body in zip(ids, bodies, strict=True):
        assert f"{len(body)} bytes, sum {_sum(body)}, attempt 1" in outputs[id_]


def _sum(data: bytes) -> int:
    total = 0
    for byte in data:
        total = (total * 31 + byte) & 0xFFFF_FFFF_FFFF_FFFF
    return total


@pytest.mark.parametrize("over", ["unix", "tcp"])
async def test_flups_own_threaded_server_is_a_pool(here: Site, over: str) -> None:
    """A Flask app in flup's threaded server, in a process that the worker did not start, takes events."""
    path, port = here.directory / "flup.sock", free_port()
    bound, address = (str(path), f"unix:{path}") if over == "unix" else (("127.0.0.1", port), f"127.0.0.1:{port}")
    serving = f"""from flup.server.fcgi import WSGIServer
from behaving import app
WSGIServer(app, bindAddress={bound!r}, debug=False).run()"""
    Program([sys.executable, "-c", serving], here.directory, here.environment)
    await here.defer("do.this", "ok", count=50)
    (failing,) = await here.defer("do.this", "fail", "ok")
    program = worker(here, "--fastcgi", address, "--until-settled")
    assert await program.ended() == 0, program.log
    assert len(here.effects(began=False)) == 51
    assert {effect.attempt for effect in here.effects(id=failing)} == {1, 2}
    assert len({effect.pid for effect in here.effects()}) == 1
