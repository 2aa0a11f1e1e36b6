"""A slot and a server that breaks the protocol (a "lie"). Each lie ends in the right outcome, in bounded time and
memory, with its connection closed, and the slot serves the next event.
"""

import asyncio
import itertools
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bridge.config.foreign_pool import Address
from bridge.fastcgi import Connection
from bridge.outcome import Crashed, Outcome, OutOfTime, Succeeded, TimedOut, outcome_of
from bridge.trust import Trust
from tests.journey.lying_server import BREACHES, DELIVERED, HEAD, OTHER_PROTOCOLS, Lie, LyingServer, endless, truth
from tests.limits import PATIENCE
from tests.unit.bridge.fastcgi.application import (
    CANT_MPX_CONN,
    OVERLOADED,
    STDERR,
    STDOUT,
    UNKNOWN_ROLE,
    end,
    one_by_one,
    record,
)
from tests.unit.worker.requests import a_request
from tests.unit.worker.slots.one_run import run_in
from worker.slots import foreign_slot
from worker.slots.connecting import connect_to_path
from worker.slots.foreign_slot import ForeignServer, ForeignSlot
from worker.slots.slot import NotTaken
from worker.slots.transport import Transport

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MEBIBYTE = 1024 * 1024


async def sent(slot: ForeignSlot, deadline: float = 30.0) -> Outcome | NotTaken:
    """Return the outcome of one event in this slot."""
    exchange = await run_in(slot, a_request(b"data"), deadline)
    return exchange if isinstance(exchange, NotTaken) else outcome_of(exchange, Trust.RECEIVER, NOW)


async def closed(server: LyingServer) -> None:
    """Wait until every connection of the server has ended."""
    async with asyncio.timeout(PATIENCE):
        while server.open:
            await asyncio.sleep(0.001)


class Teller:
    """Tells lies to one slot after the other."""

    def __init__(self, directory: Path) -> None:
        self._paths = (directory / f"{number}.sock" for number in itertools.count())

    async def tell(
        self, *lies: Lie, keep: bool = False, deadline: float = 30.0, leaves: bool = False, pause: float = 0.0
    ) -> Outcome | NotTaken:
        """Return the outcome of the event that was answered with the last lie. Check that its connection was closed,
        and that the slot, if it is still usable, delivers another event over a new connection."""
        server = LyingServer(*lies, leaves=leaves, pause=pause)
        path = next(self._paths)
        async with server.listening(path):
            slot = ForeignServer(Address(path=str(path))).open(keep=keep)
            for _ in lies:
                outcome = await sent(slot, deadline)
            await closed(server)
            before = server.connections
            if slot.usable:
                assert await sent(slot) == Succeeded()
                assert server.connections == before + 1
            slot.retire()
            await closed(server)
        return outcome


@pytest.fixture
def teller(tmp_path: Path) -> Teller:
    """Return a teller of lies."""
    return Teller(tmp_path)


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """Return a function that returns the peak of Python's memory since the test began, in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def once(data: bytes) -> Lie:
    """Return a lie that sends these bytes in one piece."""
    return lambda: [data]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", BREACHES)
async def test_a_breach_of_the_protocol_is_a_crash(teller: Teller, name: str, keep: bool) -> None:
    """The breach spends an attempt, even if the verdict is good."""
    assert isinstance(await teller.tell(once(BREACHES[name]), keep=keep), Crashed)


async def test_a_close_at_any_byte_of_a_good_reply_is_a_crash(teller: Teller) -> None:
    """This holds at each byte except the last, also inside the padding."""
    for length in range(len(truth())):
        outcome = await teller.tell(once(truth()[:length]), leaves=True)
        assert isinstance(outcome, Crashed), length
        assert "expected END_REQUEST before" in outcome.error.message
    assert await teller.tell(once(truth()), leaves=True) == Succeeded()


async def test_a_close_at_any_byte_is_a_crash_on_a_reused_connection_too(teller: Teller) -> None:
    """This holds before the first byte too: the handler may have run before the server was recycled."""
    for length in range(len(truth())):
        outcome = await teller.tell(once(truth(1)), once(truth(2)[:length]), keep=True, leaves=True)
        assert isinstance(outcome, Crashed), length


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    "tail",
    [end(), record(STDOUT, b"more"), record(STDERR, b"more"), truth(2), b"?", bytes(100_000)],
    ids=["another end", "output", "stderr", "the next reply", "a byte", "100,000 bytes"],
)
async def test_bytes_after_a_whole_reply_spoil_only_the_connection(teller: Teller, tail: bytes, keep: bool) -> None:
    """The event was delivered, whether the bytes come together with the reply or a little later."""
    assert await teller.tell(once(truth() + tail), keep=keep) == Succeeded()
    assert await teller.tell(lambda: [truth(), tail], keep=keep, pause=0.01) == Succeeded()


async def test_a_reply_one_byte_at_a_time_is_a_reply(teller: Teller) -> None:
    """The reply is slow and correct."""
    body = record(STDOUT, HEAD + b"x" * 4000) + record(STDOUT) + end()
    assert await teller.tell(lambda: one_by_one(body)) == Succeeded()


ENDLESS: dict[str, Lie] = {
    "head": endless(b"X-A: " + b"b" * 1000 + b"\r\n"),
    "head of one name": endless(b"a:\n" * 3000),
    "line": endless(b"x" * 65_535),
    "body": endless(b"x" * 65_535, begin=record(STDOUT, HEAD)),
    "stderr": endless(b"x" * 65_535, STDERR),
    "stderr after the head": endless(b"x" * 65_535, STDERR, begin=record(STDOUT, HEAD)),
    "stderr after the end of the output": endless(b"x" * 65_535, STDERR, begin=truth()[:-23]),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_an_endless_reply_is_a_crash_in_bounded_memory(
    teller: Teller, what: str, peak: Callable[[], int]
) -> None:
    """Each part has its limit (headers 128 KiB, stderr 64 MiB, body 256 MiB), and only an excerpt is kept."""
    outcome = await teller.tell(ENDLESS[what])
    assert isinstance(outcome, Crashed)
    assert "more than" in outcome.error.message
    assert peak() < 4 * MEBIBYTE


async def test_a_reply_of_endless_tiny_records_is_a_crash(teller: Teller) -> None:
    """The worker does not read them until the deadline."""
    outcome = await teller.tell(lambda: itertools.repeat(record(STDERR) * 1000))
    assert isinstance(outcome, Crashed)
    assert "more than 50000 records of less than 64 bytes" in outcome.error.message


TRICKLES: dict[str, Lie] = {
    "nothing": list,
    "half a record": once(truth()[:5]),
    "a large record, a byte at a time": lambda: one_by_one(record(STDOUT, HEAD + b"x" * 60_000)),
}


@pytest.mark.parametrize("what", TRICKLES)
async def test_a_reply_that_does_not_end_in_time_is_a_timeout_in_bounded_memory(
    teller: Teller, what: str, peak: Callable[[], int]
) -> None:
    """The deadline holds while bytes arrive all the time."""
    started = time.monotonic()
    outcome = await teller.tell(TRICKLES[what], deadline=0.5)
    assert isinstance(outcome, TimedOut)
    assert time.monotonic() - started < 30
    assert peak() < 4 * MEBIBYTE


@pytest.mark.parametrize("name", OTHER_PROTOCOLS)
async def test_a_server_of_another_protocol_costs_nothing_and_is_named(teller: Teller, name: str) -> None:
    """It cannot have understood the request. The server is not used again."""
    outcome = await teller.tell(once(OTHER_PROTOCOLS[name]))

    assert isinstance(outcome, NotTaken)
    assert outcome.for_ever
    assert repr(OTHER_PROTOCOLS[name])[2:8] in outcome.why


async def test_a_server_that_has_spoken_fastcgi_is_no_other_one(teller: Teller) -> None:
    """A breach in a later reply on the same connection is a crash: the handler may have run."""
    assert isinstance(await teller.tell(once(truth(1)), once(OTHER_PROTOCOLS["HTTP"]), keep=True), Crashed)


async def test_an_http_server_is_no_fastcgi_server() -> None:
    """A real one, which answers when it finds a line in the request."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        slot = ForeignServer(Address(host="127.0.0.1", port=server.server_address[1])).open(keep=False)
        exchange = await run_in(slot, a_request(b"a line\n"), 30.0)
        server.shutdown()

    assert isinstance(exchange, NotTaken)
    assert exchange.for_ever
    assert not slot.usable


async def test_a_request_is_made_before_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of the server does not wait while a large request is made, and it gets the request in one piece."""
    steps: list[str] = []

    def noted(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            steps.append(step)
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(Connection, "send", noted("made", Connection.send))
    monkeypatch.setattr(foreign_slot, "connect_to_path", noted("connected", connect_to_path))
    monkeypatch.setattr(Transport, "send", noted("sent", Transport.send))
    server = LyingServer(once(truth()))
    async with server.listening(tmp_path / "s"):
        slot = ForeignServer(Address(path=str(tmp_path / "s"))).open(keep=False)
        assert await sent(slot) == Succeeded()

    assert steps == ["made", "connected", "sent"]


@pytest.mark.parametrize("status", [CANT_MPX_CONN, OVERLOADED])
async def test_a_refusal_before_any_output_costs_nothing(teller: Teller, status: int) -> None:
    """Bytes on stderr before the refusal do not count as output."""
    assert isinstance(await teller.tell(once(end(status))), NotTaken)
    assert isinstance(await teller.tell(once(record(STDERR, b"full") + end(status))), NotTaken)


async def test_another_role_before_any_output_costs_nothing_and_says_so(teller: Teller) -> None:
    """The refusal names the role."""
    outcome = await teller.tell(once(end(UNKNOWN_ROLE)))
    assert isinstance(outcome, NotTaken)
    assert "UNKNOWN_ROLE" in outcome.why


async def test_a_verdict_twice_is_no_verdict(teller: Teller) -> None:
    """Two headers that agree are not trusted either."""
    reply = DELIVERED.replace(b"\r\nContent-Type", b"\r\nBridge-Outcome: delivered\r\nContent-Type")
    assert not isinstance(await teller.tell(once(record(STDOUT, reply) + end())), Succeeded)


async def test_a_server_that_reads_nothing_is_out_of_time(tmp_path: Path) -> None:
    """A large body fills the socket's buffer, and the deadline holds."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        slot = ForeignServer(Address(path=str(tmp_path / "s"))).open(keep=False)
        assert isinstance(await run_in(slot, a_request(bytes(16 * MEBIBYTE)), 0.3), OutOfTime)
