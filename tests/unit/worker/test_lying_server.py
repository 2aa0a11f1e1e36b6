"""A server that lies, met by a slot: every lie ends in the right outcome, in bounded time and memory, with its
connection closed, and the slot serves the next event.
"""

import asyncio
import itertools
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.foreign_pool import Address
from bridge.outcome import Crashed, Outcome, PoolUnavailable, Succeeded, TimedOut, Trust, outcome_of
from tests.journey.lying_server import BREACHES, DELIVERED, HEAD, Lie, LyingServer, endless, truth
from tests.unit.fastcgi.application import (
    CANT_MPX_CONN,
    GET_VALUES_RESULT,
    OVERLOADED,
    STDERR,
    STDOUT,
    UNKNOWN_ROLE,
    end,
    one_by_one,
    record,
)
from worker.foreign_slot import ForeignServer, ForeignSlot

PARAMETERS = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "4"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MEBIBYTE = 1024 * 1024


async def sent(slot: ForeignSlot, deadline: float = 30.0) -> Outcome:
    """What came of one event in this slot."""
    return outcome_of(await slot.exchange(PARAMETERS, b"data", deadline), Trust.RECEIVER, NOW)


async def closed(server: LyingServer) -> None:
    """Wait until the server has seen every connection end."""
    async with asyncio.timeout(10):
        while server.open:
            await asyncio.sleep(0.001)


class Teller:
    """Tells lies to one slot after the other."""

    def __init__(self, directory: Path) -> None:
        self._paths = (directory / f"{number}.sock" for number in itertools.count())

    async def tell(
        self, *lies: Lie, keep: bool = False, deadline: float = 30.0, leaves: bool = False, pause: float = 0.0
    ) -> Outcome:
        """Return what came of the event that met the last lie. Its connection was closed, and the slot, where it is
        still in use, has delivered another event over a new one."""
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
    """A teller of lies."""
    return Teller(tmp_path)


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """Tells the most memory that Python has had at a time since the test began, in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def once(data: bytes) -> Lie:
    """This, in one piece."""
    return lambda: [data]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", BREACHES)
async def test_a_breach_of_the_protocol_is_a_crash(teller: Teller, name: str, keep: bool) -> None:
    """It costs an attempt, however good the verdict looks."""
    assert isinstance(await teller.tell(once(BREACHES[name]), keep=keep), Crashed)


async def test_a_close_at_any_byte_of_a_good_reply_is_a_crash(teller: Teller) -> None:
    """At all of them but the last, the padding's too."""
    for length in range(len(truth())):
        outcome = await teller.tell(once(truth()[:length]), leaves=True)
        assert isinstance(outcome, Crashed), length
        assert "expected END_REQUEST before" in outcome.error.message
    assert await teller.tell(once(truth()), leaves=True) == Succeeded()


async def test_a_close_at_any_byte_is_a_crash_on_a_reused_connection_too(teller: Teller) -> None:
    """Before the first byte as well: the server may have been recycled, and the handler may have run."""
    for length in range(len(truth())):
        outcome = await teller.tell(once(truth(1)), once(truth(2)[:length]), keep=True, leaves=True)
        assert isinstance(outcome, Crashed), length


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    "tail",
    [end(), record(STDOUT, b"more"), record(STDERR, b"more"), truth(2), b"?", bytes(100_000)],
    ids=["another end", "output", "stderr", "the next reply", "a byte", "100,000 bytes"],
)
async def test_what_comes_behind_a_whole_reply_spoils_the_connection_only(
    teller: Teller, tail: bytes, keep: bool
) -> None:
    """The event was delivered, and nothing more is believed: at once behind it, or a little later."""
    assert await teller.tell(once(truth() + tail), keep=keep) == Succeeded()
    assert await teller.tell(lambda: [truth(), tail], keep=keep, pause=0.01) == Succeeded()


async def test_a_reply_one_byte_at_a_time_is_a_reply(teller: Teller) -> None:
    """Slow, and true."""
    body = record(STDOUT, HEAD + b"x" * 4000) + record(STDOUT) + end()
    assert await teller.tell(lambda: one_by_one(body)) == Succeeded()


ENDLESS: dict[str, Lie] = {
    "head": endless(b"X-A: " + b"b" * 1000 + b"\r\n"),
    "head of one name": endless(b"a:\n" * 3000),
    "line": endless(b"x" * 65_535),
    "body": endless(b"x" * 65_535, begin=record(STDOUT, HEAD)),
    "stderr": endless(b"x" * 65_535, STDERR),
    "stderr behind the head": endless(b"x" * 65_535, STDERR, begin=record(STDOUT, HEAD)),
    "stderr behind the end of the output": endless(b"x" * 65_535, STDERR, begin=truth()[:-23]),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_never_ends_is_a_crash_in_bounded_memory(teller: Teller, what: str, peak: Callable[[], int]) -> None:
    """Each has its limit: of headers 128 KiB, of stderr 64 MiB, of a body 256 MiB, and little of it is kept."""
    outcome = await teller.tell(ENDLESS[what])
    assert isinstance(outcome, Crashed)
    assert "more than" in outcome.error.message
    assert peak() < 4 * MEBIBYTE


TRICKLES: dict[str, Lie] = {
    "nothing": list,
    "half a record": once(truth()[:5]),
    "empty stderr": endless(b"", STDERR),
    "management records": lambda: itertools.repeat(record(GET_VALUES_RESULT, b"", request_id=0) * 1000),
    "a byte of stderr at a time": endless(b"x", STDERR),
    "a byte of the body at a time": endless(b"x", begin=record(STDOUT, HEAD)),
    "a large record, a byte at a time": lambda: one_by_one(record(STDOUT, HEAD + b"x" * 60_000)),
}


@pytest.mark.parametrize("what", TRICKLES)
async def test_what_comes_to_nothing_is_out_of_time_in_bounded_memory(
    teller: Teller, what: str, peak: Callable[[], int]
) -> None:
    """The deadline holds, however busily nothing is said."""
    started = time.monotonic()
    outcome = await teller.tell(TRICKLES[what], deadline=0.5)
    assert isinstance(outcome, TimedOut)
    assert time.monotonic() - started < 5
    assert peak() < 4 * MEBIBYTE


@pytest.mark.parametrize("status", [CANT_MPX_CONN, OVERLOADED])
async def test_a_refusal_before_any_output_costs_nothing(teller: Teller, status: int) -> None:
    """Something on stderr before it is no output."""
    assert isinstance(await teller.tell(once(end(status))), PoolUnavailable)
    assert isinstance(await teller.tell(once(record(STDERR, b"full") + end(status))), PoolUnavailable)


async def test_another_role_before_any_output_costs_nothing_and_says_so(teller: Teller) -> None:
    """The server is none for events."""
    outcome = await teller.tell(once(end(UNKNOWN_ROLE)))
    assert isinstance(outcome, PoolUnavailable)
    assert "UNKNOWN_ROLE" in outcome.why


async def test_a_verdict_twice_is_no_verdict(teller: Teller) -> None:
    """Two headers that agree are as doubtful as two that do not."""
    reply = DELIVERED.replace(b"\r\nContent-Type", b"\r\nBridge-Outcome: delivered\r\nContent-Type")
    assert not isinstance(await teller.tell(once(record(STDOUT, reply) + end())), Succeeded)


async def test_a_server_that_reads_nothing_is_out_of_time(tmp_path: Path) -> None:
    """A large body fills the socket, and the deadline holds."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        slot = ForeignServer(Address(path=str(tmp_path / "s"))).open(keep=False)
        parameters = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(16 * MEBIBYTE)}
        exchange = await slot.exchange(parameters, bytes(16 * MEBIBYTE), 0.3)
    assert isinstance(outcome_of(exchange, Trust.RECEIVER, NOW), TimedOut)
