"""The pool's end of a child's news, against children that write anything."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from bridge.child_protocol import Extend, Extended, Progress, read_extended, write_news
from tests.limits import PATIENCE
from tests.unit.bridge.test_child_protocol import HOSTILE
from worker.pool.news import News


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return the pool's end and the child's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.001)


async def test_news_arrive_in_order_and_are_answered(sockets: tuple[socket.socket, socket.socket]) -> None:
    """Whatever else the child writes between them."""
    ours, theirs = sockets
    news, heard = News(ours, 17), list[Progress | Extend]()
    news.on_news = heard.append
    sent: list[Progress | Extend]
    sent = [Progress("e1", 3, 10, "resizing"), Extend("e1", 1, 30.0), Progress("e1", 10, 10, "done")]

    for each in sent:
        for hostile in HOSTILE:
            if hostile:  # an empty datagram ends the news
                theirs.send(hostile[:5000])
        theirs.send(write_news(each))
    await until(lambda: len(heard) == 3)
    news.answer(Extended(1, granted=True))

    assert heard == sent
    assert read_extended(theirs.recv(4096)) == Extended(1, granted=True)
    news.close()
    news.close()


async def test_a_flood_is_read_slowly(sockets: tuple[socket.socket, socket.socket]) -> None:
    """The loop has its time for others: a child that writes all the time is read some hundred times a second."""
    ours, theirs = sockets
    news, heard = News(ours, 17), list[Progress | Extend]()
    news.on_news = heard.append
    flood = write_news(Progress("e1", 1, 2, "flood"))
    loop = asyncio.get_running_loop()

    end = loop.time() + 0.5
    while loop.time() < end:
        with suppress(BlockingIOError):
            while True:
                theirs.send(flood)
        await asyncio.sleep(0)

    assert 8 <= len(heard) <= 8 * 12
    news.close()


@pytest.mark.parametrize("end", [lambda theirs: theirs.close(), lambda theirs: theirs.send(b"")])
async def test_the_end_of_the_child_ends_the_news(
    sockets: tuple[socket.socket, socket.socket], end: Callable[[socket.socket], object]
) -> None:
    """An answer that comes later is dropped."""
    ours, theirs = sockets
    news = News(ours, 17)

    end(theirs)
    await until(lambda: ours.fileno() < 0)
    news.answer(Extended(1, granted=True))
