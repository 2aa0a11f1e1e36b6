"""Publishes the first message for each destination alone, on a channel of its own.

RabbitMQ checks permissions for each publish, by exchange and routing key, and answers a forbidden publish by closing
the channel: whether the other messages in flight on that channel were published is then unknown, and a second try may
run an event twice. So a message to a destination that RabbitMQ has not permitted yet has no neighbours.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

from aiormq.channel import Channel as Engine
from aiormq.connection import Connection as EngineConnection
from aiormq.exceptions import ChannelAccessRefused

from bridge.brokers.rabbitmq.publishing.confirming import ConfirmingChannel, Nacked, Returned
from bridge.brokers.rabbitmq.publishing.publication import Addressed
from bridge.brokers.rabbitmq.topology.delay_ladder import destination

TRIALS = 16
"""Messages that are tried at a time, each on its own channel."""

REMEMBERED = 10_000
"""Permitted destinations that a sender remembers."""


class Target(NamedTuple):
    """An exchange, and a routing key without the bits of a delay."""

    exchange: str
    key: str


def target_of(to: Addressed) -> Target:
    """Return the target of a message."""
    return Target(to.exchange, destination(to.routing_key) or to.routing_key)


class Trials:
    """The targets to which this user may publish, and the channels for trying others."""

    def __init__(self) -> None:
        self._permitted: set[Target] = set()
        self._running: dict[Target, asyncio.Future[None]] = {}
        self._idle: list[ConfirmingChannel] = []
        self._room = asyncio.Semaphore(TRIALS)
        self._numbers: Iterator[int] = iter(())

    def permits(self, target: Target) -> bool:
        """Return True if the target is known to be permitted."""
        return target in self._permitted

    @asynccontextmanager
    async def channel(self, main: ConfirmingChannel, target: Target) -> AsyncIterator[ConfirmingChannel]:
        """Return the channel for one publish: `main` if the target is known to be permitted, else a channel of its own
        on the same connection. The block publishes, and raises what the publish raised.

        While a message is tried, others to the same target wait for its result. If RabbitMQ forbids the target, they
        raise the same `ChannelAccessRefused`, and were not published.
        """
        while (running := self._running.get(target)) is not None:
            await asyncio.shield(running)
        if target in self._permitted:
            yield main
            return
        trial = self._running[target] = asyncio.get_running_loop().create_future()
        trial.add_done_callback(asyncio.Future.exception)  # nobody may wait for it
        try:
            async with self.own_channel(main) as own:
                yield own
            self._permit(target)
        except (Returned, Nacked):  # the answers to a publish that is permitted
            self._permit(target)
            raise
        except ChannelAccessRefused as error:
            trial.set_exception(error)
            raise
        finally:
            del self._running[target]
            if not trial.done():
                trial.set_result(None)

    def forget(self) -> None:
        """Forget all permitted targets, because RabbitMQ has forbidden one of them."""
        self._permitted.clear()

    def _permit(self, target: Target) -> None:
        if len(self._permitted) >= REMEMBERED:
            self._permitted.clear()
        self._permitted.add(target)

    @asynccontextmanager
    async def own_channel(self, main: ConfirmingChannel) -> AsyncIterator[ConfirmingChannel]:
        """Return a channel on the connection of `main`, which RabbitMQ may close in the block."""
        async with self._room:
            channel = await self._opened(cast(EngineConnection, main.engine.connection))
            try:
                yield channel
            finally:
                self._idle.append(channel)

    async def _opened(self, connection: EngineConnection) -> ConfirmingChannel:
        while self._idle:
            channel = self._idle.pop()
            if channel.is_open and channel.engine.connection is connection:
                return channel
        number = self._free_number(connection)
        opened = await connection.channel(number, publisher_confirms=True, on_return_raises=True)
        return ConfirmingChannel(cast(Engine, opened))

    def _free_number(self, connection: EngineConnection) -> int:
        """Return the number that was used the longest time ago. aiormq reuses the number of a closed channel at once,
        and RabbitMQ ignores a channel whose number it still believes to be closing."""
        highest = connection.connection_tune.channel_max or 65535
        while True:
            for number in self._numbers:
                if number not in connection.channels:
                    return number
            self._numbers = iter(range(2, highest + 1))
