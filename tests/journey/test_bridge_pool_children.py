"""The children of bridge-pool: how they take connections, and how they are replaced without losing a request."""

import asyncio
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread

import pytest

from bridge.config.foreign_pool import Address
from tests.journey.pool_program import BEGIN_KEPT, answered, at, connected, pid_and_version, pool_of, request, trace
from tests.journey.site import Site, eventually
from tests.journey.web_servers import nginx
from tests.ports import free_port

pytestmark = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


@contextmanager
def asked_all_the_time(ask: Callable[[], None], threads: int = 3) -> Iterator[None]:
    """Call `ask` repeatedly in other threads, and raise the first exception of a thread at the end."""
    over, raised = Event(), list[BaseException]()

    def ask_until_over() -> None:
        try:
            while not over.is_set():
                ask()
        except BaseException as error:  # an AssertionError too must reach the test
            raised.append(error)

    asking = [Thread(target=ask_until_over) for _ in range(threads)]
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
    """At SIGTERM the pool closes the connection of an idle client."""
    pool = await pool_of(site, "--grace", "1h")
    with connected(site) as client:
        client.sendall(request("/pid"))
        answered(client)

        pool.signal(signal.SIGTERM)

        assert await pool.ended() == 0
        assert client.recv(1) == b""


async def test_a_kept_connection_that_is_idle_gives_way(site: Site) -> None:
    """If an idle client keeps the connection to the only child, another client is served."""
    await pool_of(site)
    with connected(site) as idle:
        idle.sendall(request("/pid"))
        answered(idle)

        assert await asyncio.to_thread(pid_and_version, site)


async def test_a_busy_kept_connection_leaves_others_their_turn(site: Site) -> None:
    """If one client keeps the only child busy without a pause, other clients are served too."""
    await pool_of(site)
    with connected(site) as busy:

        def ask() -> None:
            busy.sendall(request("/pid"))
            answered(busy)

        with asked_all_the_time(ask, threads=1):
            for _ in range(3):
                assert await asyncio.to_thread(pid_and_version, site)


MALFORMED = {
    "a short BEGIN": struct.pack(">BBHHBx", 1, 1, 1, 2, 0) + b"xx",
    "another version": struct.pack(">BBHHBx", 9, 1, 1, 0, 0),
    "parameters that end early": BEGIN_KEPT + struct.pack(">BBHHBx", 1, 4, 1, 2, 0) + b"\x80\x00",
    "half a header": b"\x01\x01\x00",
    "an end in the parameters": BEGIN_KEPT,
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_client_that_breaks_the_protocol_loses_only_its_connection(site: Site, what: str) -> None:
    """The pool closes the connection, and the same child serves the next one."""
    pool = await pool_of(site)
    before, _ = pid_and_version(site)

    with connected(site) as client:
        client.sendall(MALFORMED[what])
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""

    assert pid_and_version(site)[0] == before
    assert "another child takes its place" not in pool.log


async def test_a_lost_child_is_replaced_by_its_spare(site: Site) -> None:
    """After SIGKILL of the only child, the spare serves the next request."""
    pool = await pool_of(site)
    await eventually(lambda: len(pool.children) == 2)
    lost, _ = pid_and_version(site)

    os.kill(lost, signal.SIGKILL)

    assert pid_and_version(site)[0] != lost
    await pool.says("another child takes its place")


async def test_a_child_is_recycled_after_its_requests(site: Site) -> None:
    """The pool replaces a child between two requests after `max_requests`."""
    site.configure("max_requests = 20\n")
    await pool_of(site)

    pids: list[int] = []

    def three_children_have_served() -> bool:
        pids.append(pid_and_version(site)[0])
        return len(set(pids)) == 3

    await eventually(three_children_have_served)


@pytest.mark.parametrize("keep", [False, True])
async def test_a_reload_under_load_fails_no_request(site: Site, keep: bool) -> None:
    """At SIGHUP the new version takes over, and every request before, during and after the reload gets its reply."""
    pool = await pool_of(site)
    server = nginx(site.directory / "nginx", at(site), site.environment, keep=keep)
    source = (site.directory / "fronted.py").read_text()

    def ask() -> None:
        # On a kept connection nginx repeats a GET by itself if the connection is closed while nginx uses it again.
        answer = server.ask("GET", "/pid") if keep else server.ask("POST", "/upload", b"{}")
        assert answer.status == 200, answer

    def says(version: str) -> bool:
        return server.ask("GET", "/pid").body.endswith(version.encode())

    with asked_all_the_time(ask):
        for version in ("two", "three", "four"):
            (site.directory / "fronted.py").write_text(source.replace('VERSION = "one"', f'VERSION = "{version}"'))
            pool.signal(signal.SIGHUP)
            await eventually(partial(says, version))


async def test_a_new_version_that_cannot_boot_changes_nothing(site: Site) -> None:
    """The old version keeps serving, and the log has the reason."""
    pool = await pool_of(site)
    (site.directory / "fronted.py").write_text("raise RuntimeError('not today')")

    pool.signal(signal.SIGHUP)

    await pool.says("the old children keep serving")
    assert "not today" in pool.log
    assert pid_and_version(site)[1] == "one"


async def test_children_come_and_go_by_signals(site: Site) -> None:
    """SIGTTIN adds a child, and SIGTTOU removes one; there is always at least one child, and a spare."""
    pool = await pool_of(site)
    await eventually(lambda: len(pool.children) == 2)

    pool.signal(signal.SIGTTIN)
    await eventually(lambda: len(pool.children) == 3)
    pool.signal(signal.SIGTTOU)
    await eventually(lambda: len(pool.children) == 2)
    pool.signal(signal.SIGTTOU)

    await pool.says("pool size changed by a signal; children: 1")
    assert pid_and_version(site)


async def test_preloaded_children_serve_too(site: Site) -> None:
    """With --preload, forked children serve requests like others."""
    await pool_of(site, "--preload")

    assert pid_and_version(site)[1] == "one"


@pytest.mark.parametrize("family", ["unix", "tcp"])
async def test_the_bridge_replays_into_it(site: Site, family: str) -> None:
    """bridge-worker --fastcgi replays events into the pool."""
    address = at(site) if family == "unix" else Address(host="127.0.0.1", port=free_port())
    pool = site.run("bridge-pool", "fronted:app", "--bind", str(address), "--children", "2")
    await pool.says("warm after")

    (event_id,) = await site.defer("account.created")
    worker = site.run("bridge-worker", "--fastcgi", str(address), "--until-settled")

    assert await worker.ended() == 0
    assert f"replayed {event_id}" in trace(site)


@pytest.mark.parametrize("told", [True, False])
async def test_a_replay_over_tcp_needs_the_shared_secret(site: Site, told: bool) -> None:
    """With a secret, the pool binds an address that other machines reach, and runs the replays of those who know it."""
    port = free_port()
    secret = {"BRIDGE_REPLAY_SECRET": "the-secret-of-the-site"}
    bind = ("--bind", f"0.0.0.0:{port}", "--allow", "127.0.0.0/8", "--children", "1")
    pool = site.run("bridge-pool", "fronted:app", *bind, **secret)
    await pool.says("warm after")

    (event_id,) = await site.defer("account.created")
    worker = site.run(
        *("bridge-worker", "--fastcgi", f"127.0.0.1:{port}", "--max-events", "1"), **(secret if told else {})
    )

    assert await worker.ended() == 0
    assert (f"replayed {event_id}" in trace(site)) is told
    assert ("the app answered instead of the receiver" in worker.log) is not told
    assert "the-secret-of-the-site" not in pool.log + worker.log
