"""The transport over a real socket pair, with a hand-written application at the other end."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from bridge.fastcgi import Limits
from bridge.outcome import BrokenOff, Exchange, NotTaken, OutOfTime, Reply
from tests.unit.fastcgi.application import STDERR, STDOUT, end, record
from worker.transport import Transport

PARAMETERS = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "4"}


def output(content: bytes, number: int = 1) -> bytes:
    """An STDOUT record of the request of this number."""
    return record(STDOUT, content, request_id=number)


def error_output(content: bytes, number: int = 1) -> bytes:
    """An STDERR record of the request of this number."""
    return record(STDERR, content, request_id=number)


class Peer:
    """The application's end of the connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def request(self) -> bytes:
        """Read until the request has ended, which its closing empty STDIN says."""
        got = b""
        while not got.endswith(b"\0\0\0\0") or b"data" not in got:
            got += await asyncio.get_running_loop().sock_recv(self._sock, 65536)
        return got

    async def send(self, data: bytes) -> None:
        """Write all of it."""
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    def leave(self) -> None:
        """End the connection."""
        self._sock.close()


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Transport, Peer]]:
    """A transport, and the peer that it talks to."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, transport = await asyncio.get_running_loop().create_connection(lambda: Transport(Limits()), sock=ours)
    yield transport, Peer(theirs)
    transport.close()
    theirs.close()


def exchange(transport: Transport, deadline: float = 30.0) -> asyncio.Task[Exchange]:
    """Begin an exchange of a body of four bytes."""
    return asyncio.create_task(transport.exchange(PARAMETERS, b"data", deadline, keep=True))


async def test_a_whole_reply_is_a_reply_and_the_connection_is_kept(pair: tuple[Transport, Peer]) -> None:
    """Names of headers are in lower case, those that repeat are joined."""
    transport, peer = pair
    for number in (1, 2):
        task = exchange(transport)
        await peer.request()
        head = b"Status: 201 Made\r\nBridge-Outcome: delivered\r\nX: a\r\nX: b\r\n\r\nbody"
        await peer.send(error_output(b"said", number) + output(head, number) + end(request_id=number))
        assert await task == Reply(201, {"bridge-outcome": "delivered", "x": "a, b"}, b"body", b"said")
        assert transport.usable


async def test_no_reply_in_time_is_out_of_time_and_closes(pair: tuple[Transport, Peer]) -> None:
    """What was said to stderr until then is kept."""
    transport, peer = pair
    task = exchange(transport, deadline=0.2)
    await peer.request()
    await peer.send(error_output(b"thinking"))
    assert await task == OutOfTime(0.2, b"thinking")
    assert not transport.usable


async def test_an_end_in_mid_reply_is_broken_off(pair: tuple[Transport, Peer]) -> None:
    """With what had come on stderr."""
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
    """The message says what was seen."""
    transport, peer = pair
    task = exchange(transport)
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    broken = await task
    assert isinstance(broken, BrokenOff)
    assert "expected" in broken.why
    assert not transport.usable


async def test_headers_without_end_are_broken_off_in_bounded_memory(pair: tuple[Transport, Peer]) -> None:
    """The limit of the header block ends it."""
    transport, peer = pair
    task = exchange(transport)
    await peer.request()

    async def flood() -> None:
        while not task.done():
            await peer.send(output(b"X: " + b"y" * 8000 + b"\r\n"))

    flooding = asyncio.create_task(flood())
    assert isinstance(await task, BrokenOff)
    await asyncio.wait((flooding,))
    flooding.exception()  # the connection is closed under it, in whichever way the system says so


async def test_a_connection_that_ended_while_idle_takes_nothing(pair: tuple[Transport, Peer]) -> None:
    """It is certain that nothing ran."""
    transport, peer = pair
    peer.leave()
    while transport.usable:
        await asyncio.sleep(0)
    assert isinstance(await transport.exchange(PARAMETERS, b"data", 1.0, keep=True), NotTaken)


async def test_bytes_while_idle_spoil_the_connection(pair: tuple[Transport, Peer]) -> None:
    """Whatever they are, they belong to no request."""
    transport, peer = pair
    await peer.send(end())
    while transport.usable:
        await asyncio.sleep(0)


async def test_a_large_body_of_a_reply_is_drained_and_cut(pair: tuple[Transport, Peer]) -> None:
    """The verdict counts, the transcript keeps both ends."""
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
    """Its reply must not become the next one's."""
    transport, peer = pair
    task = exchange(transport)
    await peer.request()
    task.cancel()
    await asyncio.wait((task,))
    assert not transport.usable
