"""bridge-pool as a program: its socket, wrong options, and its end."""

import asyncio
import grp
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from bridge.config.foreign_pool import Address
from tests.journey.pool_program import (
    at,
    connected,
    head_of,
    permissions,
    pid_and_version,
    pool_of,
    socket_of,
    trace,
)
from tests.journey.pool_site import PoolSite
from tests.journey.site import PROGRAMS, Program, Site, eventually
from tests.journey.web_servers import cgi_fcgi
from tests.limits import PATIENCE
from tests.ports import free_port

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


async def test_the_socket_is_for_its_user_alone(site: Site) -> None:
    """The pool makes a socket of mode 0600, in a directory of mode 0700."""
    await pool_of(site)

    assert permissions(socket_of(site)) == 0o600
    assert permissions(socket_of(site).parent) == 0o700


async def test_the_socket_can_be_given_to_a_group(site: Site) -> None:
    """--socket-group lets the group connect; --socket-mode overrides the mode."""
    group = grp.getgrgid(os.getgid()).gr_name
    await pool_of(site, "--socket-group", group, "--socket-mode", "0666")

    assert permissions(socket_of(site)) == 0o666
    assert permissions(socket_of(site).parent) == 0o750


WRONG = {
    "expected 'unix:/absolute/path' or 'host:port'": ("--bind", "app.sock"),
    "expected an octal mode such as 0660": ("--bind", "unix:/tmp/none.sock", "--socket-mode", "0999"),
    "expected the name of a group": ("--bind", "unix:/tmp/none.sock", "--socket-group", "no-such-group"),
    "expected --bind unix:/absolute/path, got '127.0.0.1:9000'": ("--bind", "127.0.0.1:9000", "--socket-mode", "0660"),
    "expected an address to listen on: [Errno 2]": ("--bind", "unix:/no/such/directory/app.sock"),
    "expected an address to listen on: [Errno 98]": ("--bind", "127.0.0.1:{taken}"),
    "expected an address that only this machine reaches": ("--bind", "0.0.0.0:9000"),
    "expected a network such as 10.0.0.0/8": ("--bind", "127.0.0.1:9000", "--allow", "10.0.0.1/8"),
    "expected --bind HOST:PORT, got 'unix:/tmp/none.sock'": ("--bind", "unix:/tmp/none.sock", "--allow", "10.0.0.0/8"),
}


@pytest.mark.parametrize("message", WRONG)
async def test_an_address_that_cannot_be_bound_ends_the_start(site: Site, message: str) -> None:
    """The pool ends with exit code 2 and names the option and the value, before a child boots."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = [argument.format(taken=taken.getsockname()[1]) for argument in WRONG[message]]
        pool = site.run("bridge-pool", "fronted:app", *arguments)

        assert await pool.ended() == 2
    assert message in pool.log
    assert arguments[-1] in pool.log


async def test_an_app_that_cannot_boot_ends_the_start(site: Site) -> None:
    """The pool ends with exit code 4 and the reason, and leaves no socket."""
    pool = site.run("bridge-pool", "no_extension:app", "--bind", str(at(site)))

    assert await pool.ended() == 4
    assert "has no DeferredEvents" in pool.log
    assert not socket_of(site).exists()


async def test_a_socket_where_nobody_listens_is_replaced(site: Site) -> None:
    """A pool replaces the socket that a killed pool has left."""
    pool = await pool_of(site)
    pool.signal(signal.SIGKILL)
    await pool.ended()
    assert socket_of(site).exists()

    await pool_of(site)

    assert pid_and_version(site)


async def test_a_socket_where_somebody_listens_is_left_alone(site: Site) -> None:
    """A second pool on the same path ends with exit code 2, and the first keeps serving."""
    await pool_of(site)

    second = site.run("bridge-pool", "fronted:app", "--bind", str(at(site)))

    assert await second.ended() == 2
    assert "a program listens there already" in second.log
    assert pid_and_version(site)


async def test_a_file_that_is_no_socket_is_left_alone(site: Site) -> None:
    """A pool whose path is another kind of file ends with exit code 2 and leaves the file."""
    pool = site.run("bridge-pool", "fronted:app", "--bind", f"unix:{site.directory}/fronted.py")

    assert await pool.ended() == 2
    assert "a file that is no socket" in pool.log
    assert (site.directory / "fronted.py").exists()


async def test_sigterm_finishes_what_runs(site: Site) -> None:
    """The running request gets its reply; then the socket's file and all children are gone."""
    pool = await pool_of(site)
    asking = asyncio.create_task(asyncio.to_thread(cgi_fcgi, at(site), "/slow/0.8"))
    await eventually(lambda: "begun" in trace(site))

    pool.signal(signal.SIGTERM)

    assert (await asking).endswith(b"slow")
    assert await pool.ended() == 0
    assert "1 requests served" in pool.log
    assert not socket_of(site).exists()
    await eventually(lambda: not site.processes)


async def test_a_port_is_closed_while_it_drains(site: Site) -> None:
    """A client that connects after SIGTERM is refused at once, before the last request has ended."""
    address = Address(host="127.0.0.1", port=free_port())
    pool = site.run("bridge-pool", "fronted:app", "--bind", str(address), "--children", "1", "--grace", "1h")
    await pool.says("warm after")
    asking = asyncio.create_task(asyncio.to_thread(cgi_fcgi, address, "/until/gate"))
    await eventually(lambda: "begun" in trace(site))

    pool.signal(signal.SIGTERM)
    await pool.says("stopping")

    await eventually(lambda: is_refused(address))
    (site.directory / "gate").touch()
    assert (await asking).endswith(b"open")
    assert await pool.ended() == 0


async def test_a_request_that_takes_longer_than_the_grace_is_ended(site: Site) -> None:
    """--grace limits the duration of the drain."""
    site.configure("grace = '1h'\n")
    pool = await pool_of(site, "--grace", "300ms")
    asking = asyncio.create_task(asyncio.to_thread(cgi_fcgi, at(site), "/until/never"))
    await eventually(lambda: "begun" in trace(site))

    pool.signal(signal.SIGTERM)

    assert await pool.ended() == 0
    await asyncio.gather(asking, return_exceptions=True)


LISTS_SOCKETS_AT_THE_LINE = """
import logging, os
from worker.pool_cli import main

class AtTheLine(logging.Handler):
    def emit(self, record):
        if "warm after" in record.getMessage():
            print("control sockets:", sorted(os.listdir(os.environ["BRIDGE_CONTROL_DIRECTORY"])), flush=True)

logging.getLogger("bridge").addHandler(AtTheLine())
main()
"""


async def test_bridge_status_finds_a_pool_that_has_said_that_it_is_warm(pool: PoolSite) -> None:
    """A script may ask for the status on that line: the control socket is there when the line is logged."""
    pool.sockets.mkdir(mode=0o700)
    command = [sys.executable, "-c", LISTS_SOCKETS_AT_THE_LINE, "fronted:app", "--bind", str(at(pool.site))]

    program = Program(command, pool.site.directory, pool.environment)

    await program.says(f"-{program.process.pid}.sock']")


async def test_bridge_status_shows_what_the_children_do(site: Site) -> None:
    """The status has the state of each child, for how long it is busy, and its number of requests, without a wait for
    a busy child."""
    pool = await pool_of(site)
    pid_and_version(site)
    asked = time.monotonic()
    asking = asyncio.create_task(asyncio.to_thread(cgi_fcgi, at(site), "/until/gate"))
    await eventually(lambda: "begun" in trace(site))
    await eventually(lambda: len(pool.children) == 2)

    shown = status(site, pool)

    assert (shown["address"], shown["served"]) == (str(at(site)), 1)
    seat, *_ = shown["slots"]
    assert (seat["state"], seat["requests"], seat["slot"]) == ("busy", 1, 1)
    assert 0 <= seat["seconds"] < time.monotonic() - asked
    (site.directory / "gate").touch()
    await asking
    await eventually(lambda: status(site, pool)["slots"][0]["state"] == "idle")


@pytest.mark.parametrize("part", ["a byte", "a head"])
async def test_bridge_status_shows_a_child_that_waits_for_a_client(site: Site, part: str) -> None:
    """A child is *reading* while a client has sent only a part of a request, and idle when the client has gone."""
    pool = await pool_of(site)
    slow = connected(site)
    slow.sendall(b"\x01" if part == "a byte" else head_of("/upload", "POST", CONTENT_LENGTH="10"))

    await eventually(lambda: status(site, pool)["slots"][0]["state"] == "reading")

    slow.close()
    await eventually(lambda: status(site, pool)["slots"][0]["state"] == "idle")


def is_refused(address: Address) -> bool:
    """Return True if the address refuses connections."""
    try:
        socket.create_connection((address.host, address.port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def status(site: Site, pool: Program) -> dict[str, Any]:
    """Return what `bridge-status --json` prints about a pool. Ask again while a pool without CPU does not answer in
    time: its status has none of the usual keys."""
    end = time.monotonic() + PATIENCE
    while True:
        ran = subprocess.run(
            [PROGRAMS / "bridge-status", "--json"],
            cwd=site.directory,
            env={**os.environ, **site.environment},
            capture_output=True,
            check=True,
        )
        (found,) = (shown for shown in json.loads(ran.stdout) if shown["pid"] == pool.process.pid)
        if found["kind"] == "pool":
            return dict(found)
        assert time.monotonic() < end, found
