"""A pool that others run, with a server double that can be away, full or of another role at will."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.errors import SettingsError
from bridge.foreign_pool import Address
from bridge.outcome import BrokenOff, Exchange, NotTaken, Reply
from tests.journey.lying_server import LyingServer, truth
from tests.unit.fastcgi.application import OVERLOADED, STDIN, UNKNOWN_ROLE, end, record
from worker import connecting
from worker.foreign_pool import ForeignPool, SlotWatcher
from worker.foreign_slot import ForeignServer
from worker.slots import Slot, Slots

PARAMETERS = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "0"}


def full() -> list[bytes]:
    """What a server answers that has too much to do."""
    return [end(OVERLOADED)]


def of_another_role() -> list[bytes]:
    """What a server answers that is no Responder."""
    return [end(UNKNOWN_ROLE)]


class Site:
    """A pool of servers in a directory, and the books that its slots are in."""

    def __init__(self, directory: Path, connections: int, names: str, *, keep: bool) -> None:
        self.directory = directory
        self.slots = Slots(in_turn=True)
        self.changed = asyncio.Event()
        self.addresses = [Address(path=str(directory / name)) for name in names]
        pool = ForeignPool(dict.fromkeys(self.addresses, connections), keep=keep)
        self.running = asyncio.create_task(pool.run(SlotWatcher(self._opened, self._closed)))

    def path(self, name: str) -> Path:
        """Where the server of this name listens."""
        return self.directory / name

    async def leased(self) -> Slot:
        """Wait for a free slot, and lease it."""
        async with asyncio.timeout(10):
            while (slot := self.slots.lease()) is None:
                self.changed.clear()
                await self.changed.wait()
        return slot

    async def sent(self, slot: Slot | None = None) -> Exchange:
        """Send a request through a slot, and give it back."""
        slot = slot or await self.leased()
        exchange = await slot.exchange(PARAMETERS, b"", 10.0)
        self.slots.give_back(slot)
        self.changed.set()
        return exchange

    def _opened(self, slot: Slot) -> None:
        self.slots.open(slot)
        self.changed.set()

    def _closed(self, slot: Slot) -> None:
        self.slots.condemn(slot)


@asynccontextmanager
async def pool(directory: Path, connections: int = 1, names: str = "a", *, keep: bool = False) -> AsyncIterator[Site]:
    """A pool that runs."""
    site = Site(directory, connections, names, keep=keep)
    try:
        yield site
    finally:
        site.running.cancel()
        await asyncio.wait((site.running,))


async def until(holds: Callable[[], bool]) -> None:
    """Let the others go on until it holds."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


async def test_a_server_that_is_away_has_no_slot_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once that it is away, and once that it is back."""
    caplog.set_level(logging.INFO, "bridge")
    async with pool(tmp_path, connections=3) as site:
        async with LyingServer().listening(site.path("a")):
            assert isinstance(await site.sent(), Reply)
        site.path("a").unlink(missing_ok=True)  # CPython 3.13 has removed it already
        slots = [await site.leased() for _ in range(3)]
        assert isinstance(await site.sent(slots[0]), NotTaken)
        assert not any(slot.usable for slot in slots[1:])
        for slot in slots[1:]:
            site.slots.give_back(slot)
        assert site.slots.lease() is None
        async with LyingServer().listening(site.path("a")):
            assert isinstance(await site.sent(), Reply)
    said = [record.levelname for record in caplog.records if "takes" in record.message]
    assert said == ["WARNING", "INFO"]


async def test_a_slot_that_was_refused_rests_alone(tmp_path: Path) -> None:
    """The server is full, and goes on with what it has."""
    async with pool(tmp_path, connections=2) as site, LyingServer(full).listening(site.path("a")):
        refused, other = await site.leased(), await site.leased()
        assert isinstance(await site.sent(refused), NotTaken)
        assert other.usable
        assert not refused.usable
        assert isinstance(await site.sent(other), Reply)
        await until(lambda: repr(site.slots) == "<Slots 2 free, 0 leased>")


async def test_a_full_backlog_refuses_and_is_no_absence(tmp_path: Path) -> None:
    """A Unix socket says so at once; the event loop alone would wait for a connection that never comes."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "a"))
        listening.listen(0)
        with socket.socket(socket.AF_UNIX) as filling:
            filling.connect(str(tmp_path / "a"))
            server = ForeignServer(Address(path=str(tmp_path / "a")))
            assert await server.reachable()
            slot, other = server.open(keep=False), server.open(keep=False)
            exchange = await slot.exchange(PARAMETERS, b"", 10.0)
    assert isinstance(exchange, NotTaken)
    assert "its backlog is full" in exchange.why
    assert (slot.usable, other.usable) == (False, True)


async def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a time of its own: the event's deadline is for the app."""
    monkeypatch.setattr(connecting, "CONNECT_WITHIN", 0.2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            slot = ForeignServer(Address(host="127.0.0.1", port=port)).open(keep=False)
            exchange = await slot.exchange(PARAMETERS, b"", 10.0)
    assert isinstance(exchange, NotTaken)
    assert "no answer within 0.2 s" in exchange.why


async def test_a_slot_that_must_retire_finishes_what_runs_first(tmp_path: Path) -> None:
    """Its place is not filled before, for its connection is still there."""
    server = LyingServer(lambda: [b"", truth()], pause=0.05)
    async with server.listening(tmp_path / "a"):
        address = ForeignServer(Address(path=str(tmp_path / "a")))
        slot = address.open(keep=True)
        running = asyncio.create_task(slot.exchange(PARAMETERS, b"", 10.0))
        ended = asyncio.create_task(slot.ended())
        await until(lambda: server.requests == 1)
        address.lost("another slot could not connect")
        await asyncio.sleep(0)
        assert (slot.usable, ended.done()) == (False, False)
        assert isinstance(await running, Reply)
        await ended
        await until(lambda: server.open == 0)


@pytest.mark.parametrize("keep", [False, True])
async def test_never_more_connections_than_are_allowed(tmp_path: Path, keep: bool) -> None:
    """However many events there are, and whoever looks for the server."""
    async with pool(tmp_path, connections=2, keep=keep) as site:
        server = LyingServer(*[full] * 3, pause=0.001)
        async with server.listening(site.path("a")):
            await asyncio.gather(*(site.sent() for _ in range(40)))
            assert server.most_open <= 2
            assert server.requests == 40


async def test_a_kept_connection_serves_one_request_after_the_other(tmp_path: Path) -> None:
    """And none of them without `keep`."""
    for keep, expected in ((True, 1), (False, 5)):
        server = LyingServer()
        path = tmp_path / str(keep)
        async with server.listening(path):
            slot = ForeignServer(Address(path=str(path))).open(keep=keep)
            for _ in range(5):
                assert isinstance(await slot.exchange(PARAMETERS, b"", 10.0), Reply)
            slot.retire()
        assert server.connections == expected


def answer_one(listening: socket.socket) -> socket.socket:
    """Accept a connection, answer its first request, and return it."""
    connection, _ = listening.accept()
    got = b""
    while not got.endswith(record(STDIN)):
        got += connection.recv(65_536)
    connection.sendall(truth())
    return connection


async def test_a_kept_connection_that_the_server_closed_is_not_used(tmp_path: Path) -> None:
    """Though the event loop has not told us yet: the request would cost an attempt for nothing."""
    path = str(tmp_path / "a")
    slot = ForeignServer(Address(path=path)).open(keep=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        listening.settimeout(10)
        for _ in range(3):
            answering = asyncio.to_thread(answer_one, listening)
            exchange, connection = await asyncio.gather(slot.exchange(PARAMETERS, b"", 10.0), answering)
            assert isinstance(exchange, Reply)
            connection.close()  # and the event loop does not look at it before the next request
    slot.retire()


async def test_an_end_without_a_byte_on_a_reused_connection_is_an_attempt(tmp_path: Path) -> None:
    """The handler may have run."""
    server = LyingServer(list, leaves=True)
    async with server.listening(tmp_path / "a"):
        slot = ForeignServer(Address(path=str(tmp_path / "a"))).open(keep=True)
        assert isinstance(await slot.exchange(PARAMETERS, b"", 10.0), BrokenOff)
        assert slot.usable


async def test_a_server_of_another_role_is_not_used_any_more(tmp_path: Path) -> None:
    """The others go on; where none is left, the settings are wrong."""
    async with (
        pool(tmp_path, names="ab") as site,
        LyingServer(of_another_role).listening(site.path("a")),
        LyingServer(of_another_role).listening(site.path("b")),
    ):
        assert isinstance(await site.sent(), NotTaken)
        last = await site.leased()
        assert not site.running.done()
        assert isinstance(await site.sent(last), NotTaken)
        with pytest.raises(SettingsError, match="expected servers of the Responder role"):
            await site.running


async def test_servers_are_used_in_turn(tmp_path: Path) -> None:
    """One event at a time still goes to all of them."""
    async with pool(tmp_path, connections=2, names="abc") as site:
        servers = {name: LyingServer() for name in "abc"}
        async with (
            servers["a"].listening(site.path("a")),
            servers["b"].listening(site.path("b")),
            servers["c"].listening(site.path("c")),
        ):
            await until(lambda: repr(site.slots) == "<Slots 6 free, 0 leased>")
            for _ in range(12):
                await site.sent()
    assert [server.requests for server in servers.values()] == [4, 4, 4]


async def test_a_pool_that_is_stopped_closes_its_kept_connections(tmp_path: Path) -> None:
    """What runs goes on to its end first."""
    server = LyingServer(lambda: [b""] * 20, pause=0.01)
    async with server.listening(tmp_path / "a"):
        async with pool(tmp_path, keep=True) as site:
            running = asyncio.create_task(site.sent())
            await until(lambda: server.requests == 1)
            site.running.cancel()
            await asyncio.wait((site.running,))
            assert not running.done()
            running.cancel()
        await until(lambda: server.open == 0)
