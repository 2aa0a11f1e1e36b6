"""The messages to a service manager, on a real datagram socket."""

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from bridge.console.service_manager import ServiceManager
from tests.limits import PATIENCE


@pytest.fixture(params=["file", "abstract"])
def manager_socket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The socket of a service manager, and its name in NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@bridge-test-{os.getpid()}-{tmp_path.name}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as bound:
        bound.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        bound.settimeout(PATIENCE)
        yield name, bound


def test_the_life_of_a_service(manager_socket: tuple[str, socket.socket]) -> None:
    """Each state is one message."""
    name, received = manager_socket
    manager = ServiceManager.of_this_process({"NOTIFY_SOCKET": name})

    manager.ready("2 running")
    manager.reloading()
    manager.ready("2 running")
    manager.stopping("one\nline")

    assert received.recv(1000) == b"READY=1\nSTATUS=2 running"
    assert received.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert received.recv(1000) == b"READY=1"
    assert received.recv(1000) == b"STOPPING=1\nSTATUS=one\\nline"


async def test_a_loop_that_is_alive(manager_socket: tuple[str, socket.socket]) -> None:
    """With WATCHDOG_USEC the process says several times in that time that it is alive; the status only as it
    changes."""
    name, received = manager_socket
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "300000", "WATCHDOG_PID": str(os.getpid())}
    manager = ServiceManager.of_this_process(environ)

    informing = asyncio.create_task(manager.keep_informed(lambda: "well"))
    messages = [await asyncio.to_thread(received.recv, 1000) for _ in range(3)]
    informing.cancel()

    assert manager.watchdog == 0.3
    assert messages == [b"WATCHDOG=1\nSTATUS=well", b"WATCHDOG=1", b"WATCHDOG=1"]


@pytest.mark.parametrize(
    "environ",
    [
        {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "300000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/s"},
        {"WATCHDOG_USEC": "300000"},
    ],
)
def test_no_watchdog(environ: dict[str, str]) -> None:
    """Without a time, or with that of another process, nobody waits for this process."""
    assert ServiceManager.of_this_process(environ).watchdog is None


def test_the_variables_are_for_this_process_alone() -> None:
    """The processes that it starts do not find them."""
    environ = {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/root"}
    ServiceManager.of_this_process(environ)

    assert environ == {"HOME": "/root"}


async def test_a_manager_that_was_away_is_told_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its absence is logged once; what it has missed is in the next message."""
    path = tmp_path / "notify"
    manager = ServiceManager.of_this_process({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "30000"})

    manager.ready("well")
    manager.reloading()
    manager.ready("better")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as bound:
        bound.bind(str(path))
        bound.settimeout(PATIENCE)
        informing = asyncio.create_task(manager.keep_informed(lambda: "better"))
        first, second = [await asyncio.to_thread(bound.recv, 1000) for _ in range(2)]
        informing.cancel()

    fields = dict(line.split(b"=") for line in first.split(b"\n"))
    assert int(fields.pop(b"MONOTONIC_USEC")) > 0
    assert fields == {b"READY": b"1", b"RELOADING": b"1", b"STATUS": b"better", b"WATCHDOG": b"1"}
    assert first.index(b"RELOADING") < first.index(b"READY")  # the last state counts
    assert second == b"WATCHDOG=1"
    assert len(caplog.messages) == 1
    assert "No such file or directory" in caplog.text


def test_no_free_descriptor(manager_socket: tuple[str, socket.socket], caplog: pytest.LogCaptureFixture) -> None:
    """A process without a free file descriptor tells its manager when it has one again."""
    name, received = manager_socket
    manager = ServiceManager.of_this_process({"NOTIFY_SOCKET": name})
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        manager.ready("well")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    manager.ready("well")

    assert sorted(received.recv(1000).split(b"\n")) == [b"READY=1", b"STATUS=well"]
    assert "Too many open files" in caplog.text


async def test_a_busy_manager_is_told_later(manager_socket: tuple[str, socket.socket]) -> None:
    """A status that finds the manager's socket full is sent again."""
    name, received = manager_socket
    manager = ServiceManager.of_this_process({"NOTIFY_SOCKET": name})
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as other:
        other.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                other.sendto(b"x", "\0" + name[1:] if name.startswith("@") else name)

    manager.ready("well")
    received.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            assert received.recv(1000) == b"x"
    received.settimeout(PATIENCE)
    informing = asyncio.create_task(manager.keep_informed(lambda: "well"))

    assert await asyncio.to_thread(received.recv, 1000) == b"READY=1\nSTATUS=well"
    informing.cancel()


@pytest.mark.parametrize("name", ["/no/such/socket", "vsock:2:1", ""])
def test_a_manager_that_cannot_be_told(name: str) -> None:
    """The process goes on."""
    ServiceManager.of_this_process({"NOTIFY_SOCKET": name}).ready("well")


def test_an_impossible_address(caplog: pytest.LogCaptureFixture) -> None:
    """A path that is too long for a socket is not tried again."""
    manager = ServiceManager.of_this_process({"NOTIFY_SOCKET": "/" + "x" * 200})

    manager.ready("well")

    assert manager.address is None
    assert "path too long" in caplog.text
