"""The children of a pool behind web servers: what the pool reads from their leashes, and when."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from bridge.child_protocol import REQUEST_BEGUN, REQUEST_SERVED, Listen, Ready
from tests.limits import PATIENCE
from worker.pool.child import Child
from worker.pool.front.children import PAUSE, FrontChildren
from worker.pool.seats import Seats


class Leash:
    """The pool's end of a leash. It counts how often the pool reads."""

    def __init__(self, sock: socket.socket) -> None:
        self.reads = 0
        self._sock = sock

    def recv(self, size: int) -> bytes:
        self.reads += 1
        return self._sock.recv(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class FakePool:
    """A pool that counts the requests of its children."""

    def __init__(self) -> None:
        self.seats: Seats[Any] = Seats(1, 0)
        self.requests = 0
        self.ended: list[Any] = []

    def served(self, child: Any, requests: int = 1) -> None:
        self.requests += requests

    def cut_off(self, child: Any) -> None:
        self.ended.append(child)


class FakeChild:
    """A child that is ready."""

    def __init__(self, leash: Leash) -> None:
        self.socket, self.ready, self.pid, self.requests, self.used = leash, Ready(), 1, 0, False


class Scene:
    """A pool with one child, whose end of the leash is `child_end`."""

    def __init__(self) -> None:
        ours, self.child_end = socket.socketpair()
        self.leash, self.pool = Leash(ours), FakePool()
        self.children = FrontChildren(cast(Any, self.pool), self.child_end, Listen(), 1.0)
        self.child = cast(Child, FakeChild(self.leash))
        self.client = self.children.client()

    async def ready(self) -> None:
        await self.client.ready(self.child)

    def close(self) -> None:
        self.child_end.close()
        self.leash.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


async def test_a_leash_is_read_seldom_while_its_child_is_busy(scene: Scene) -> None:
    """All requests are counted, though the pool does not wake up for each byte."""
    await scene.ready()
    for _ in range(50):  # the socket has room for so many bytes while nobody reads
        scene.child_end.send(REQUEST_BEGUN)
        await asyncio.sleep(0)
        scene.child_end.send(REQUEST_SERVED)
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        while scene.pool.requests < 50:
            await asyncio.sleep(PAUSE / 4)
    assert scene.leash.reads < 50


async def test_what_a_child_told_before_its_end_is_counted(scene: Scene) -> None:
    """It may have told it while the pool did not look. So a child that is lost in a request is one that was used."""
    await scene.ready()
    scene.child_end.send(REQUEST_SERVED)
    async with asyncio.timeout(PATIENCE):
        while not scene.pool.requests:
            await asyncio.sleep(0)
    scene.child.used = False
    scene.child_end.send(REQUEST_SERVED + REQUEST_BEGUN)
    scene.client.lost(scene.child, "was killed")
    assert scene.pool.requests == 2
    assert scene.child.used


async def test_the_end_of_a_leash_is_seen(scene: Scene) -> None:
    """The pool replaces a child that has closed its leash, although its process may live on."""
    await scene.ready()
    scene.child_end.send(REQUEST_BEGUN)
    scene.child_end.close()
    async with asyncio.timeout(PATIENCE):
        while not scene.pool.ended:
            await asyncio.sleep(PAUSE / 4)
    assert scene.pool.ended == [scene.child]
