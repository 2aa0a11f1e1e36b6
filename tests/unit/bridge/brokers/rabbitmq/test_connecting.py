"""Translation of aiormq's exceptions at the end of a connection."""

import asyncio
import socket
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import pytest
import uvloop
from aiormq.exceptions import AMQPConnectionError

from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.brokers.rabbitmq.connection.connecting import cancelled_by_us_alone
from bridge.errors import BrokerUnavailable
from tests.contract.acts import an_event
from tests.deadlines import within


@pytest.mark.parametrize("raised", [Exception(), StopAsyncIteration()], ids=["bare", "end of the frames"])
async def test_an_end_without_a_word_is_a_broken_connection(raised: Exception) -> None:
    """If the other side closes the connection without a message, the error says so."""
    with pytest.raises(AMQPConnectionError), cancelled_by_us_alone():
        raise raised


async def test_a_defect_stays_what_it_is() -> None:
    """Only exceptions that aiormq itself raises are translated."""
    with pytest.raises(ValueError, match="mine"), cancelled_by_us_alone():
        raise ValueError("mine")


@pytest.mark.parametrize("instead", [None, ValueError("mine"), AMQPConnectionError("closed meanwhile")])
async def test_a_cancellation_wins(instead: Exception | None) -> None:
    """A task that was cancelled ends, although what it awaited returns, or raises another error."""

    async def work() -> None:
        with cancelled_by_us_alone():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if instead is not None:
                    raise instead from None

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_the_end_of_a_cancelled_task_is_not_cancelled_again() -> None:
    """What it does for its end has its own results and errors."""

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            with cancelled_by_us_alone():
                return "ended"  # noqa: B012

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "ended"


class HangingUp:
    """A peer that accepts connections, closes them at once, and counts them."""

    def __init__(self) -> None:
        self.calls = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._hang_up)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _hang_up(self) -> None:
        with suppress(OSError):
            while True:
                self._listener.accept()[0].close()
                self.calls += 1


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_peer_that_hangs_up_is_tried_again(new_loop: Callable[[], AbstractEventLoop]) -> None:
    """A peer that closes each connection, like a proxy without its broker, counts as unreachable, and is tried
    again."""

    async def ask_twice() -> None:
        publisher = RabbitBroker.from_url(f"amqp://guest:guest@127.0.0.1:{peer.port}/", "nowhere").publisher()
        for _ in range(2):
            before = peer.calls
            with pytest.raises(BrokerUnavailable):
                await publisher.publish(an_event(), deadline=within(1.0))
            assert peer.calls > before
        await publisher.close()

    with HangingUp() as peer, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ask_twice())
