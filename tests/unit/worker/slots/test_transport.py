"""The transport over a real socket pair, with a hand-written application at the other end."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from bridge.fastcgi import Connection, EncodedRequest, encode_request
from bridge.outcome import BrokenOff, Exchange, OutOfTime, Reply
from tests.limits import PATIENCE
from tests.unit.bridge.fastcgi.application import STDERR, STDOUT, end, record
from worker.slots.arriving_reply import LastReply
from worker.slots.slot import EXCERPT, NotTaken
from worker.slots.transport import Transport

REQUEST = encode_request({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "4"}, b"data")
LARGE = encode_request({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "4000000"}, b"data" * 1_000_000)
"""A request that the buffer of a socket cannot hold."""


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


class Ours:
    """Our end of the connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.transport = Transport(sock, Connection(), LastReply(), self._ended)
        self._end: asyncio.Future[Exchange | NotTaken] | None = None

    def _ended(self, exchange: Exchange | NotTaken) -> None:
        assert self._end is not None
        self._end.set_result(exchange)

    def send(self, request: EncodedRequest = REQUEST) -> asyncio.Future[Exchange | NotTaken]:
        """Send a request, and return its exchange to come."""
        self._end = asyncio.get_running_loop().create_future()
        self.transport.send(self.transport.connection.send(request, keep_connection=True), EXCERPT)
        return self._end


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Ours, Peer]]:
    """Yield both ends of a connection."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    end = Ours(ours)
    yield end, Peer(theirs)
    end.transport.close()
    theirs.close()


async def closed(ours: Ours) -> None:
    """Wait until the transport has closed its socket."""
    async with asyncio.timeout(PATIENCE):
        while ours.transport.open:
            await asyncio.sleep(0)


async def test_a_whole_reply_is_a_reply_and_the_connection_is_kept(pair: tuple[Ours, Peer]) -> None:
    """Header names are in lower case, and repeated headers are joined."""
    ours, peer = pair
    for number in (1, 2):
        exchange = ours.send()
        await peer.request()
        head = b"Status: 201 Made\r\nBridge-Outcome: delivered\r\nX: a\r\nX: b\r\n\r\nbody"
        await peer.send(error_output(b"said", number) + output(head, number) + end(request_id=number))
        assert await exchange == Reply(201, {"bridge-outcome": "delivered", "x": "a, b"}, b"body", b"said")
        assert ours.transport.open


async def test_an_exchange_that_runs_out_of_time_closes(pair: tuple[Ours, Peer]) -> None:
    """The error output until then is kept. The end of the time of an exchange that has ended changes nothing."""
    ours, peer = pair
    exchange = ours.send()
    await peer.request()
    await peer.send(error_output(b"thinking"))
    while not ours.transport.silent():
        await asyncio.sleep(0)
    ours.transport.run_out(0.2)
    ours.transport.run_out(0.3)
    assert await exchange == OutOfTime(0.2, b"thinking")
    assert not ours.transport.open


async def test_an_end_in_mid_reply_is_broken_off(pair: tuple[Ours, Peer]) -> None:
    """The exchange has the error output until then."""
    ours, peer = pair
    exchange = ours.send()
    await peer.request()
    await peer.send(error_output(b"oh") + output(b"Status: 200\r\n\r\nhal"))
    peer.leave()
    broken = await exchange
    assert isinstance(broken, BrokenOff)
    assert broken.error_output == b"oh"
    assert not ours.transport.open


async def test_an_end_with_an_unread_request_is_seen(pair: tuple[Ours, Peer]) -> None:
    """The kernel then reports an error of the socket, after which uvloop watches it no more."""
    ours, peer = pair
    exchange = ours.send()
    await peer.send(error_output(b"oh"))
    peer.leave()
    async with asyncio.timeout(PATIENCE):
        broken = await exchange
    assert isinstance(broken, BrokenOff)
    assert broken.error_output == b"oh"
    assert not ours.transport.open


@pytest.mark.parametrize("request_sent", [REQUEST, LARGE], ids=["whole", "in part"])
async def test_a_reply_counts_whose_server_left_the_request_unread(
    pair: tuple[Ours, Peer], request_sent: EncodedRequest
) -> None:
    """Such as a refusal of a large body. The reply is longer than one read."""
    ours, peer = pair
    exchange = ours.send(request_sent)
    await peer.send(output(b"Status: 413 Too Large\r\n\r\n" + b"x" * 60_000) + output(b"x" * 60_000) + end())
    peer.leave()
    async with asyncio.timeout(PATIENCE):
        reply = await exchange
    assert isinstance(reply, Reply)
    assert reply.status == 413


async def test_a_breach_of_the_protocol_is_broken_off(pair: tuple[Ours, Peer]) -> None:
    """The message says what was expected."""
    ours, peer = pair
    exchange = ours.send()
    await peer.request()
    await peer.send(bytes(64))
    broken = await exchange
    assert isinstance(broken, BrokenOff)
    assert "expected" in broken.why
    assert not ours.transport.open


async def test_headers_without_end_are_broken_off_in_bounded_memory(pair: tuple[Ours, Peer]) -> None:
    """The size limit of the header block ends the exchange."""
    ours, peer = pair
    exchange = ours.send()
    await peer.request()

    async def flood() -> None:
        while not exchange.done():
            await peer.send(output(b"X: " + b"y" * 8000 + b"\r\n"))

    flooding = asyncio.create_task(flood())
    assert isinstance(await exchange, BrokenOff)
    await asyncio.wait((flooding,))
    flooding.exception()  # writing to the closed connection fails; the kind of error depends on the system


async def test_a_connection_that_ended_while_idle_is_closed(pair: tuple[Ours, Peer]) -> None:
    """That shows before the event loop reports the end: such a connection is not silent."""
    ours, peer = pair
    assert ours.transport.silent()
    peer.leave()
    assert not ours.transport.silent()
    await closed(ours)
    assert not ours.transport.silent()


async def test_bytes_while_idle_spoil_the_connection(pair: tuple[Ours, Peer]) -> None:
    """Such bytes belong to no request."""
    ours, peer = pair
    await peer.send(end())
    await closed(ours)


async def test_a_large_body_of_a_reply_is_drained_and_cut(pair: tuple[Ours, Peer]) -> None:
    """The verdict counts, and only an excerpt of the body is kept."""
    ours, peer = pair
    exchange = ours.send()
    await peer.request()
    await peer.send(output(b"Bridge-Outcome: delivered\r\n\r\n"))
    for _ in range(300):
        await peer.send(output(b"z" * 60_000))
    await peer.send(end())
    reply = await exchange
    assert isinstance(reply, Reply)
    assert reply.headers["bridge-outcome"] == "delivered"
    assert len(reply.body) < 40_000


async def test_a_request_that_the_peer_does_not_read_is_sent_when_it_does(pair: tuple[Ours, Peer]) -> None:
    """It is larger than the buffer of the socket."""
    ours, peer = pair
    exchange = ours.send(LARGE)
    await peer.request()
    await peer.send(output(b"Status: 200 OK\r\n\r\n") + end())
    assert await exchange == Reply(200, {})
    assert ours.transport.open


async def test_a_reply_before_the_whole_request_was_read_closes_the_connection(pair: tuple[Ours, Peer]) -> None:
    """The rest of the request would be taken for a part of the next one."""
    ours, peer = pair
    exchange = ours.send(LARGE)
    await peer.send(output(b"Status: 403 Too large\r\n\r\n") + end())
    assert await exchange == Reply(403, {})
    assert not ours.transport.open


async def test_a_peer_that_has_left_before_the_request_breaks_it_off_in_a_later_turn(pair: tuple[Ours, Peer]) -> None:
    """A slot begins the next run when it is told the end of the last one."""
    ours, peer = pair
    peer.leave()
    exchange = ours.send()
    assert not exchange.done()
    broken = await exchange
    assert isinstance(broken, BrokenOff)
    assert "the connection was lost: " in broken.why
    assert not ours.transport.open


async def test_a_closed_transport_tells_no_end(pair: tuple[Ours, Peer]) -> None:
    """Nobody is interested any more."""
    ours, peer = pair
    exchange = ours.send()
    await peer.request()
    ours.transport.close()
    ours.transport.close()
    with pytest.raises(BrokenPipeError):
        await peer.send(output(b"Status: 200 OK\r\n\r\n") + end())
    await asyncio.sleep(0.01)
    assert not exchange.done()
