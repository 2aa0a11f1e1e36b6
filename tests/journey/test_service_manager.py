"""The programs under a service manager: what they tell it, and when."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from signal import SIGHUP, SIGTERM

import pytest

from tests.journey.site import Site, eventually


class Manager:
    """A service manager: its socket, and the messages that came."""

    def __init__(self, bound: socket.socket, path: Path) -> None:
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
        self.told: list[str] = []
        self._bound = bound

    async def hears(self, text: str) -> None:
        """Wait for the next message with this line."""

        def heard() -> bool:
            try:
                message = self._bound.recv(4096).decode()
            except BlockingIOError:
                return False
            self.told.append(message)
            return text in message.split("\n")

        await eventually(heard, report=lambda: f"{text} is not in {self.told}")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A service manager on a real socket."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as bound:
        path = tmp_path / "notify"
        bound.bind(str(path))
        bound.setblocking(False)
        yield Manager(bound, path)


@pytest.mark.parametrize("program", ["bridge-worker", "bridge-pool"])
async def test_a_service_from_its_start_to_its_end(here: Site, manager: Manager, program: str) -> None:
    """It is ready when it serves, alive while it runs, reloads when asked to, and stops."""
    bind = ("--bind", f"unix:{here.directory}/app.sock") if program == "bridge-pool" else ()
    service = here.run(program, "behaving:app", "--children", "1", "--spare", "0", *bind, **manager.environment)

    await manager.hears("READY=1")
    if program == "bridge-worker":
        assert "ready for events" in service.log
    await manager.hears("WATCHDOG=1")
    service.signal(SIGHUP)
    await manager.hears("RELOADING=1")
    await manager.hears("READY=1")
    assert "new children took over" in service.log
    service.signal(SIGTERM)
    await manager.hears("STOPPING=1")

    assert await service.ended() == 0


async def test_the_app_does_not_speak_for_the_worker(here: Site, manager: Manager) -> None:
    """The children of a worker do not have the variables."""
    worker = here.run("bridge-worker", "behaving:app", "--preload", **manager.environment)
    await manager.hears("READY=1")

    assert worker.children
    assert not any(name in environment(pid) for pid in worker.children for name in (b"NOTIFY_SOCKET", b"WATCHDOG_USEC"))


def environment(pid: int) -> bytes:
    """The environment of a process, as it was started."""
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_relay(here: Site, manager: Manager) -> None:
    """bridge-relay is ready before RabbitMQ is: it waits for it."""
    here.environment["BRIDGE_BROKER_URL"] = "amqp://127.0.0.1:1/"
    relay = here.run("bridge-relay", **manager.environment)

    await manager.hears("READY=1")
    relay.signal(SIGTERM)
    await manager.hears("STOPPING=1")
    assert await relay.ended() == 0
