"""A foreign pool, with a server double that a test can make unreachable, full or of another role."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from bridge.config.foreign_pool import Address
from bridge.errors import SettingsError
from bridge.outcome import BrokenOff, Exchange, OutOfTime, Reply
from tests.journey.lying_server import LyingServer, truth
from tests.limits import PATIENCE
from tests.unit.bridge.fastcgi.application import OVERLOADED, STDIN, UNKNOWN_ROLE, end, record
from tests.unit.worker.requests import a_request
from tests.unit.worker.slots.one_run import OneRun, run_in
from worker.slots import connecting
from worker.slots.foreign_slot import ForeignServer, ForeignSlot
from worker.slots.foreign_slots import ForeignPool
from worker.slots.slot import NotTaken, Run, Slot
from worker.slots.slots import Slots
from worker.slots.transport import Transport


def full() -> list[bytes]:
    """Return the answer of a server that is overloaded."""
    return [end(OVERLOADED)]


def of_another_role() -> list[bytes]:
    """Return the answer of a server that is no Responder."""
    return [end(UNKNOWN_ROLE)]


class SlotsWithList(Slots):
    """Slots that a test can also use by hand: `opened` lists the slots that are open."""

    def __init__(self, size: int) -> None:
        super().__init__(size, in_turn=True)
        self.opened: list[ForeignSlot] = []

    def open(self, slot: Slot) -> None:
        super().open(slot)
        assert isinstance(slot, ForeignSlot)
        self.opened.append(slot)

    def condemn(self, slot: Slot) -> None:
        super().condemn(slot)
        assert isinstance(slot, ForeignSlot)
        self.opened.remove(slot)


class Site:
    """A foreign pool whose servers listen in a directory, and its slots."""

    def __init__(self, directory: Path, connections: int, names: str, *, keep: bool) -> None:
        self.directory = directory
        self.addresses = [Address(path=str(directory / name)) for name in names]
        self.slots = SlotsWithList(connections * len(names))
        self.pool = ForeignPool(dict.fromkeys(self.addresses, connections), self.slots, keep=keep)

    def path(self, name: str) -> Path:
        """Return the path where the server of this name listens."""
        return self.directory / name

    async def opened(self) -> list[ForeignSlot]:
        """Wait until all slots are open, and return them."""
        await until(lambda: len(self.slots.opened) == self.slots.size)
        return list(self.slots.opened)

    async def sent(self) -> Exchange:
        """Send a request through the next slot, and return its exchange."""
        return (await self.slots.exchange(a_request(), 10.0)).exchange


@asynccontextmanager
async def pool(directory: Path, connections: int = 1, names: str = "a", *, keep: bool = False) -> AsyncIterator[Site]:
    """Run a pool."""
    site = Site(directory, connections, names, keep=keep)
    await site.pool.open()
    try:
        yield site
    finally:
        await site.pool.stop()


async def until(holds: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.001)


async def test_a_server_that_is_away_has_no_slot_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one line when the server is lost, and one when it is back."""
    caplog.set_level(logging.INFO, "bridge")
    async with pool(tmp_path, connections=3) as site:
        async with LyingServer().listening(site.path("a")):
            assert isinstance(await site.sent(), Reply)
        site.path("a").unlink(missing_ok=True)  # CPython 3.13 has removed it already
        slots = await site.opened()
        assert isinstance(await run_in(slots[0], a_request()), NotTaken)
        assert not any(slot.usable for slot in slots)
        assert len(site.slots) == 0
        async with LyingServer().listening(site.path("a")):
            assert isinstance(await site.sent(), Reply)
    said = [record.levelname for record in caplog.records if "takes" in record.message]
    assert said == ["WARNING", "INFO"]


async def test_a_slot_whose_request_was_refused_retires_alone(tmp_path: Path) -> None:
    """The server is full. Its other slots stay open."""
    async with pool(tmp_path, connections=2) as site, LyingServer(full).listening(site.path("a")):
        refused, other = await site.opened()
        assert isinstance(await run_in(refused, a_request()), NotTaken)
        assert other.usable
        assert not refused.usable
        assert isinstance(await run_in(other, a_request()), Reply)
        await until(lambda: refused not in site.slots.opened and len(site.slots.opened) == 2)


async def test_a_full_backlog_is_a_refusal_and_the_server_does_not_count_as_away(tmp_path: Path) -> None:
    """A Unix socket refuses at once. The event loop alone would wait for a connection that is never made."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "a"))
        listening.listen(0)
        with socket.socket(socket.AF_UNIX) as filling:
            filling.connect(str(tmp_path / "a"))
            server = ForeignServer(Address(path=str(tmp_path / "a")))
            assert await server.reachable()
            slot, other = server.open(keep=False), server.open(keep=False)
            exchange = await run_in(slot, a_request())
    assert isinstance(exchange, NotTaken)
    assert "its backlog is full" in exchange.why
    assert (slot.usable, other.usable) == (False, True)


async def test_connecting_to_a_server_has_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is separate from the event's deadline, which is for the app."""
    monkeypatch.setattr(connecting, "CONNECT_WITHIN", 0.2)
    with full_host() as address:
        exchange = await run_in(ForeignServer(address).open(keep=False), a_request())
    assert isinstance(exchange, NotTaken)
    assert "no answer within 0.2 s" in exchange.why


async def test_a_host_that_refuses_is_away() -> None:
    """The reason is the system's, without the address, which the text names anyway."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    slot = ForeignServer(Address(host="127.0.0.1", port=port)).open(keep=False)
    refused = await run_in(slot, a_request())
    assert refused == NotTaken(f"127.0.0.1:{port}: [Errno 111] Connection refused")
    assert not slot.usable


async def test_a_host_that_cannot_be_looked_up_is_a_failure_of_the_worker() -> None:
    """The settings have checked the name. The slot runs the next request."""
    slot = ForeignServer(Address(host="a" * 70 + ".example", port=9000)).open(keep=False)
    with pytest.raises(UnicodeError):
        await run_in(slot, a_request())
    assert slot.room == 1


async def test_a_slot_that_must_retire_finishes_its_request_first(tmp_path: Path) -> None:
    """Only then is another slot opened, because the connection counts until its end."""
    server = LyingServer(lambda: [b"", truth()], pause=0.05)
    async with server.listening(tmp_path / "a"):
        address = ForeignServer(Address(path=str(tmp_path / "a")))
        slot = address.open(keep=True)
        running = asyncio.create_task(run_in(slot, a_request()))
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
    """The limit holds with many events, and while the pool tries a server that refuses."""
    async with pool(tmp_path, connections=2, keep=keep) as site:
        server = LyingServer(*[full] * 3, pause=0.001)
        async with server.listening(site.path("a")):
            await asyncio.gather(*(site.sent() for _ in range(40)))
            assert server.most_open <= 2
            assert server.requests == 43


async def test_a_kept_connection_serves_one_request_after_the_other(tmp_path: Path) -> None:
    """Without `keep`, each request has a connection of its own."""
    for keep, expected in ((True, 1), (False, 5)):
        server = LyingServer()
        path = tmp_path / str(keep)
        async with server.listening(path):
            slot = ForeignServer(Address(path=str(path))).open(keep=keep)
            for _ in range(5):
                assert isinstance(await run_in(slot, a_request()), Reply)
            slot.retire()
        assert server.connections == expected


async def test_a_run_that_is_given_up_closes_its_connection(tmp_path: Path) -> None:
    """A late reply must not become the reply to the next request."""
    server = LyingServer(list)
    async with server.listening(tmp_path / "a"):
        slot = ForeignServer(Address(path=str(tmp_path / "a"))).open(keep=True)
        running = asyncio.create_task(run_in(slot, a_request()))
        await until(lambda: server.requests == 1)
        assert slot.room == 0
        running.cancel()
        await until(lambda: server.open == 0)
        assert slot.room == 1
        assert isinstance(await run_in(slot, a_request()), Reply)
        slot.retire()


async def test_a_run_that_is_given_up_before_it_is_sent_begins_nothing(tmp_path: Path) -> None:
    """The server is away, but nobody has looked yet."""
    slot = ForeignServer(Address(path=str(tmp_path / "a"))).open(keep=False)
    await given_up(slot, turns=1)
    assert slot.room == 1


async def test_a_run_that_is_given_up_while_it_connects_closes_the_socket() -> None:
    """A host may take seconds."""
    with full_host() as address:
        slot = ForeignServer(address).open(keep=False)
        await given_up(slot, turns=10)
    assert slot.room == 1


async def test_an_error_of_the_worker_itself_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No deadline runs, because no request was sent. So the event of such a run would wait for ever."""

    def fail(path: str) -> socket.socket:
        raise RuntimeError(path)

    monkeypatch.setattr("worker.slots.foreign_slot.connect_to_path", fail)
    slot = ForeignServer(Address(path=str(tmp_path / "a"))).open(keep=False)
    with pytest.raises(RuntimeError):
        await run_in(slot, a_request())
    assert slot.room == 1


async def test_a_kept_connection_that_the_worker_failed_to_use_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of the request may be on it."""
    server = LyingServer(lambda: [truth(1)])
    async with server.listening(tmp_path / "a"):
        slot = ForeignServer(Address(path=str(tmp_path / "a"))).open(keep=True)
        assert isinstance(await run_in(slot, a_request()), Reply)
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(Transport, "send", fail_to_send)
            await run_in(slot, a_request())
        assert isinstance(await run_in(slot, a_request()), Reply)
        slot.retire()


async def test_an_error_of_the_worker_itself_after_it_has_connected_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection to a host is made in a task, whose exception nobody sees."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setattr(Transport, "send", fail_to_send)
        slot = ForeignServer(Address(host="127.0.0.1", port=listening.getsockname()[1])).open(keep=False)
        with pytest.raises(MemoryError):
            await run_in(slot, a_request())
    assert slot.room == 1


@contextmanager
def full_host() -> Iterator[Address]:
    """Yield the address of a TCP server whose backlog is full: a connection to it is never made."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            yield Address(host="127.0.0.1", port=port)


def fail_to_send(transport: Transport, request: bytes, room: int) -> None:
    """Fail as `Transport.send` would without memory."""
    raise MemoryError


async def given_up(slot: ForeignSlot, turns: int) -> None:
    """Begin a run and give it up after so many turns of the loop. Let the loop run on for a while."""
    line = OneRun()
    run = Run(a_request(), 10.0, line)
    slot.begin(run)
    for _ in range(turns - 1):
        await asyncio.sleep(0)
    slot.abandon(run)
    await asyncio.sleep(0.01)
    assert not line.end.done()


async def test_a_later_run_may_take_less_time_than_the_one_before(tmp_path: Path) -> None:
    """Each run has its own deadline, on the same connection too."""
    server = LyingServer(lambda: [truth(1)], list)
    async with server.listening(tmp_path / "a"):
        slot = ForeignServer(Address(path=str(tmp_path / "a"))).open(keep=True)
        assert isinstance(await run_in(slot, a_request(), PATIENCE), Reply)
        assert await run_in(slot, a_request(), 0.1) == OutOfTime(0.1)
        assert isinstance(await run_in(slot, a_request(), PATIENCE), Reply)
        slot.retire()


def answer_one(listening: socket.socket) -> socket.socket:
    """Accept a connection, answer its first request, and return it."""
    connection, _ = listening.accept()
    got = b""
    while not got.endswith(record(STDIN)):
        got += connection.recv(65_536)
    connection.sendall(truth())
    return connection


async def test_a_kept_connection_that_the_server_closed_is_not_used(tmp_path: Path) -> None:
    """This holds before the event loop reports the close: otherwise the request would spend an attempt for nothing."""
    path = str(tmp_path / "a")
    slot = ForeignServer(Address(path=path)).open(keep=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        listening.settimeout(PATIENCE)
        for _ in range(3):
            answering = asyncio.to_thread(answer_one, listening)
            exchange, connection = await asyncio.gather(run_in(slot, a_request()), answering)
            assert isinstance(exchange, Reply)
            connection.close()  # and the event loop does not look at it before the next request
    slot.retire()


async def test_an_end_without_a_byte_on_a_reused_connection_is_an_attempt(tmp_path: Path) -> None:
    """The handler may have run."""
    server = LyingServer(list, leaves=True)
    async with server.listening(tmp_path / "a"):
        slot = ForeignServer(Address(path=str(tmp_path / "a"))).open(keep=True)
        assert isinstance(await run_in(slot, a_request()), BrokenOff)
        assert slot.usable


async def test_a_server_of_another_role_is_not_used_any_more(tmp_path: Path) -> None:
    """The other servers are still used. If no server is left, the settings are wrong."""
    async with (
        pool(tmp_path, names="ab") as site,
        LyingServer(of_another_role).listening(site.path("a")),
        LyingServer(of_another_role).listening(site.path("b")),
    ):
        first, last = await site.opened()
        assert isinstance(await run_in(first, a_request()), NotTaken)
        ending = asyncio.create_task(site.pool.broken())
        await until(lambda: first not in site.slots.opened)
        assert not ending.done()
        assert isinstance(await run_in(last, a_request()), NotTaken)
        with pytest.raises(SettingsError, match="expected FastCGI servers of the Responder role"):
            await ending


async def test_servers_are_used_in_turn(tmp_path: Path) -> None:
    """Events that come one at a time are spread over all servers too."""
    async with pool(tmp_path, connections=2, names="abc") as site:
        servers = {name: LyingServer() for name in "abc"}
        async with (
            servers["a"].listening(site.path("a")),
            servers["b"].listening(site.path("b")),
            servers["c"].listening(site.path("c")),
        ):
            await site.opened()
            for _ in range(12):
                await site.sent()
    assert [server.requests for server in servers.values()] == [4, 4, 4]


async def test_a_pool_that_is_stopped_closes_its_kept_connections(tmp_path: Path) -> None:
    """A running request is not stopped with the pool; here it is cancelled."""
    server = LyingServer(lambda: [b""] * 20, pause=0.01)
    async with server.listening(tmp_path / "a"):
        async with pool(tmp_path, keep=True) as site:
            running = asyncio.create_task(site.sent())
            await until(lambda: server.requests == 1)
            await site.pool.stop()
            assert not running.done()
            running.cancel()
        await until(lambda: server.open == 0)
