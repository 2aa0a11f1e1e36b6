"""The transport over a real socket pair, with a hand-written application at the other end."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from bridge.fastcgi import Limits, encode_request
from bridge.outcome import BrokenOff, Exchange, OutOfTime, Reply
from tests.unit.bridge.fastcgi.application import STDERR, STDOUT, end, record
from worker.slots.slot import NotTaken
from worker.slots.transport import Transport

REQUEST = encode_request({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "4"}, b"data")


def output(content: bytes, number: int = 1) -> bytes:
    """Return an STDOUT record for the request of this number."""
    return record(STDOUT, content, request_id=number)


def error_output(content: bytes, number: int = 1) -> bytes:
    """Return an STDERR record for the request of this number."""
    return record(STDERR, content, request_id=number)


class Peer:
    """The application's end of the connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def request(self) -> bytes:
        """Read until the end of the request, an empty STDIN record."""
        got = b""
        while not got.endswith(b"\0\0\0\0") or b"data" not in got:
            got += await asyncio.get_running_loop().sock_recv(self._sock, 65536)
        return got

    async def send(self, data: bytes) -> None:
        """Write all bytes."""
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    def leave(self) -> None:
        """End the connection."""
        self._sock.close()


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Transport, Peer]]:
    """Yield a transport and its peer."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, transport = await asyncio.get_running_loop().create_connection(lambda: Transport(Limits()), sock=ours)
    yield transport, Peer(theirs)
    transport.close()
    theirs.close()


def exchange(transport: Transport, deadline: float = 30.0) -> asyncio.Task[Exchange | NotTaken]:
    """Begin an exchange of a body of four bytes."""
    return asyncio.create_task(transport.exchange(REQUEST, deadline, keep=True))


async def test_a_whole_reply_is_a_reply_and_the_connection_is_kept(pair: tuple[Transport, Peer]) -> None:
    """Header names are in lower case, and repeated headers are joined."""
    transport, peer = pair
    for number in (1, 2):
        task = exchange(transport)
        await peer.request()
        head = b"Status: 201 Made\r\nBridge-Outcome: delivered\r\nX: a\r\nX: b\r\n\r\nbody"
        await peer.send(error_output(b"said", number) + output(head, number) + end(request_id=number))
        assert await task == Reply(201, {"bridge-outcome": "delivered", "x": "a, b"}, b"body", b"said")
        assert transport.usable


async def test_no_reply_in_time_is_out_of_time_and_closes(pair: tuple[Transport, Peer]) -> None:
    """The error output until then is kept."""
    transport, peer = pair
    task = exchange(transport, deadline=0.2)
    await peer.request()
    await peer.send(error_output(b"thinking"))
    assert await task == OutOfTime(0.2, b"thinking")
    assert not transport.usable


async def test_an_end_in_mid_reply_is_broken_off(pair: tuple[Transport, Peer]) -> None:
    """The exchange has the error output until then."""
    transport, peer = pair
    task = exchange(transport)
    await peer.request()
    await peer.send(error_output(b"oh") + output(b"Status: 200\r\n\r\nhal"))
    peer.leave()
    broken = await task
    assert isinstance(broken, BrokenOff)
    assert broken.error_output == b"oh"
    assert not transport.usable


async def test_a_breach_of_the_protocol_is_broken_off(pair: tuple[Transport, Peer]) -> None:
    """The message says what was expected."""
    transport, peer = pair
    task = exchange(transport)
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    broken = await task
    assert isinstance(broken, BrokenOff)
    assert "expected" in broken.why
    assert not transport.usable


async def test_headers_without_end_are_broken_off_in_bounded_memory(pair: tuple[Transport, Peer]) -> None:
    """The size limit of the header block ends the exchange."""
    transport, peer = pair
    task = exchange(transport)
    await peer.request()

    async def flood() -> None:
        while not task.done():
            await peer.send(output(b"X: " + b"y" * 8000 + b"\r\n"))

    flooding = asyncio.create_task(flood())
    assert isinstance(await task, BrokenOff)
    await asyncio.wait((flooding,))
    flooding.exception()  # writing to the closed connection fails; the kind of error depends on the system


async def test_a_connection_that_ended_while_idle_takes_nothing(pair: tuple[Transport, Peer]) -> None:
    """The connection ended before the request, so it is certain that nothing ran."""
    transport, peer = pair
    peer.leave()
    while transport.usable:
        await asyncio.sleep(0)
    assert isinstance(await transport.exchange(REQUEST, 1.0, keep=True), NotTaken)


async def test_bytes_while_idle_spoil_the_connection(pair: tuple[Transport, Peer]) -> None:
    """Such bytes belong to no request."""
    transport, peer = pair
    await peer.send(end())
    while transport.usable:
        await asyncio.sleep(0)


async def test_a_large_body_of_a_reply_is_drained_and_cut(pair: tuple[Transport, Peer]) -> None:
    """The verdict counts, and only an excerpt of the body is kept."""
    transport, peer = pair
    task = exchange(transport)
    await peer.request()
    await peer.send(output(b"Bridge-Outcome: delivered\r\n\r\n"))
    for _ in range(300):
        await peer.send(output(b"z" * 60_000))
    await peer.send(end())
    reply = await task
    assert isinstance(reply, Reply)
    assert reply.headers["bridge-outcome"] == "delivered"
    assert len(reply.body) < 40_000


async def test_a_cancelled_exchange_closes_the_connection(pair: tuple[Transport, Peer]) -> None:
    """A late reply must not become the reply to the next request."""
    transport, peer = pair
    task = exchange(transport)
    await peer.request()
    task.cancel()
    await asyncio.wait((task,))
    assert not transport.usable


async def test_the_deadline_of_a_running_exchange_can_be_extended(pair: tuple[Transport, Peer]) -> None:
    """Up to a limit, and never to an earlier time. An exchange that asks for less than it has is content."""
    transport, peer = pair
    task = exchange(transport, deadline=0.2)
    await peer.request()

    assert transport.extend(30.0, at_most=60.0)
    assert transport.deadline == pytest.approx(30.0, abs=5.0)
    assert transport.extend(1.0, at_most=60.0)
    assert transport.deadline == pytest.approx(30.0, abs=5.0)
    assert not transport.extend(90.0, at_most=60.0)
    assert transport.deadline == 60.0
    await asyncio.sleep(0.3)  # the first deadline must pass
    await peer.send(output(b"Status: 200 OK\r\n\r\nlate") + end())

    assert isinstance(await task, Reply)
    assert transport.deadline is None
    assert not transport.extend(1.0, at_most=60.0)


async def test_an_extended_exchange_is_out_of_time_at_its_new_deadline(pair: tuple[Transport, Peer]) -> None:
    """The outcome has the time that it really had."""
    transport, _ = pair
    task = exchange(transport, deadline=0.2)
    await asyncio.sleep(0)

    assert not transport.extend(30.0, at_most=0.1)  # less than it has: nothing changes
    assert transport.deadline == 0.2
    assert not transport.extend(30.0, at_most=0.3)

    assert await task == OutOfTime(0.3, b"")
