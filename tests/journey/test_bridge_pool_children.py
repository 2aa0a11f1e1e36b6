"""The children of bridge-pool: how they take connections, and how they come and go without a request's loss."""

import asyncio
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread

import pytest

from bridge.foreign_pool import Address
from tests.journey.pool_program import BEGIN_KEPT, answered, at, connected, pid_and_version, pool_of, request, trace
from tests.journey.site import Site, eventually
from tests.journey.web_servers import nginx
from tests.ports import free_port

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


@contextmanager
def asked_all_the_time(ask: Callable[[], None], threads: int = 3) -> Iterator[None]:
    """Ask again and again in other threads; what one of them raises is raised here."""
    over, raised = Event(), list[BaseException]()

    def go_on() -> None:
        try:
            while not over.is_set():
                ask()
        except BaseException as error:  # an assertion, too, is raised where the test sees it
            raised.append(error)

    asking = [Thread(target=go_on) for _ in range(threads)]
    for thread in asking:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in asking:
            thread.join()
    if raised:
        raise raised[0]


async def test_a_kept_connection_that_is_idle_does_not_delay_the_end(site: Site) -> None:
    """A client that keeps its connection and says nothing is hung up on."""
    pool = await pool_of(site)
    with connected(site) as client:
        client.sendall(request("/pid"))
        answered(client)

        pool.signal(signal.SIGTERM)

        assert await pool.ended(within=5) == 0
        assert client.recv(1) == b""


async def test_a_kept_connection_that_is_idle_gives_way(site: Site) -> None:
    """Where the only child is kept by an idle client, another client is served at once."""
    await pool_of(site)
    with connected(site) as idle:
        idle.sendall(request("/pid"))
        answered(idle)
        began = time.monotonic()

        await asyncio.to_thread(pid_and_version, site)

        assert time.monotonic() - began < 4


async def test_a_busy_kept_connection_leaves_others_their_turn(site: Site) -> None:
    """Where one client keeps the only child busy without a pause, another is served all the same."""
    await pool_of(site)
    with connected(site) as busy:

        def ask() -> None:
            busy.sendall(request("/pid"))
            answered(busy)

        with asked_all_the_time(ask, threads=1):
            began = time.monotonic()
            for _ in range(3):
                await asyncio.to_thread(pid_and_version, site)

    assert time.monotonic() - began < 4


MALFORMED = {
    "a short BEGIN": struct.pack(">BBHHBx", 1, 1, 1, 2, 0) + b"xx",
    "another version": struct.pack(">BBHHBx", 9, 1, 1, 0, 0),
    "parameters that end early": BEGIN_KEPT + struct.pack(">BBHHBx", 1, 4, 1, 2, 0) + b"\x80\x00",
    "half a header": b"\x01\x01\x00",
    "an end in the parameters": BEGIN_KEPT,
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_client_that_breaks_the_protocol_costs_itself_alone(site: Site, what: str) -> None:
    """Its connection ends; the same child serves the next one."""
    pool = await pool_of(site)
    before, _ = pid_and_version(site)

    with connected(site) as client:
        client.sendall(MALFORMED[what])
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""

    assert pid_and_version(site)[0] == before
    assert "another takes its place" not in pool.log


async def test_a_lost_child_is_replaced_by_its_spare(site: Site) -> None:
    """SIGKILL of the only child: the next request is served by the spare."""
    pool = await pool_of(site)
    await eventually(lambda: len(pool.children) == 2)
    lost, _ = pid_and_version(site)

    os.kill(lost, signal.SIGKILL)

    assert pid_and_version(site)[0] != lost
    await pool.says("another takes its place")


async def test_a_child_is_recycled_after_its_requests(site: Site) -> None:
    """Children count what they serve, and the pool replaces them between two requests."""
    site.configure("max_requests = 20\n")
    await pool_of(site)

    seen: list[int] = []

    def has_seen_three() -> bool:
        seen.append(pid_and_version(site)[0])
        return len(set(seen)) == 3

    await eventually(has_seen_three)


@pytest.mark.parametrize("keep", [False, True])
async def test_a_reload_under_load_fails_no_request(site: Site, keep: bool) -> None:
    """SIGHUP: the new version takes over, and every request before, meanwhile and after is answered."""
    pool = await pool_of(site)
    server = nginx(site.directory / "nginx", at(site), site.environment, keep=keep)
    source = (site.directory / "fronted.py").read_text()

    def ask() -> None:
        # On a kept connection nginx itself repeats a GET, where the connection ends just when it is used again.
        answer = server.ask("GET", "/pid") if keep else server.ask("POST", "/upload", b"{}")
        assert answer.status == 200, answer

    def says(version: str) -> bool:
        return server.ask("GET", "/pid").body.endswith(version.encode())

    with asked_all_the_time(ask):
        for version in ("two", "three", "four"):
            (site.directory / "fronted.py").write_text(source.replace('SAID = "one"', f'SAID = "{version}"'))
            pool.signal(signal.SIGHUP)
            await eventually(partial(says, version))


async def test_a_new_version_that_cannot_boot_changes_nothing(site: Site) -> None:
    """The old one goes on, and the log says why."""
    pool = await pool_of(site)
    (site.directory / "fronted.py").write_text("raise RuntimeError('not today')")

    pool.signal(signal.SIGHUP)

    await pool.says("the old one goes on")
    assert "not today" in pool.log
    assert pid_and_version(site)[1] == "one"


async def test_children_come_and_go_by_signals(site: Site) -> None:
    """SIGTTIN is one more, SIGTTOU one less; there is always one, and its spare."""
    pool = await pool_of(site)
    await eventually(lambda: len(pool.children) == 2)

    pool.signal(signal.SIGTTIN)
    await eventually(lambda: len(pool.children) == 3)
    pool.signal(signal.SIGTTOU)
    await eventually(lambda: len(pool.children) == 2)
    pool.signal(signal.SIGTTOU)

    await pool.says("children: 1, as asked for by a signal")
    assert pid_and_version(site)


async def test_preloaded_children_serve_too(site: Site) -> None:
    """--preload: the children are forked, and take connections as others do."""
    await pool_of(site, "--preload")

    assert pid_and_version(site)[1] == "one"


@pytest.mark.parametrize("family", ["unix", "tcp"])
async def test_the_bridge_replays_into_it(site: Site, family: str) -> None:
    """bridge-worker --fastcgi uses the pool that web servers use."""
    address = at(site) if family == "unix" else Address(host="127.0.0.1", port=free_port())
    pool = site.run("bridge-pool", "fronted:app", "--bind", str(address), "--children", "2")
    await pool.says("warm after")

    (event_id,) = await site.defer("account.created")
    worker = site.run("bridge-worker", "--fastcgi", str(address), "--until-settled")

    assert await worker.ended() == 0
    assert f"replayed {event_id}" in trace(site)
