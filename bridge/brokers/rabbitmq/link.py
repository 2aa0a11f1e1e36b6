"""A connection to RabbitMQ that is kept up: down, connecting, up, blocked, and up again. Knows nothing of events.

After a break everything is built from scratch: a new connection, a new channel, a new generation. aio-pika's robust
connections, which restore objects instead, are not used: a restored consumer acks tags of a channel that is gone.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from aio_pika import Connection
from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Engine
from aiormq.connection import Connection as EngineConnection
from aiormq.exceptions import AMQPConnectionError, AMQPError, ChannelNotFoundEntity

from bridge.brokers.contract import ConnectionState
from bridge.brokers.rabbitmq.address import Address
from bridge.brokers.rabbitmq.connection import (
    CLOSE_SECONDS,
    again_and_again,
    cancelled_by_us_alone,
    connect,
    disconnect,
    engine_of,
    is_blocked,
    is_open,
    open_channel,
    refusal,
)
from bridge.brokers.rabbitmq.topology import said
from bridge.errors import BridgeError, BrokerRefused, BrokerUnavailable

PREPARE_SECONDS = 30.0
LONGEST_PAUSE = 5.0
LONGEST_PAUSE_TO_PUBLISH = 1.0
"""Less than a web request waits for its event to be published: the first one after an outage finds the broker."""

log = logging.getLogger(__name__)


class Link:
    """One connection and one channel, for one purpose, kept up from the first use until `close()`.

    `prepare` sets each new channel up. `repair` makes lost objects be there again; it is called when RabbitMQ says
    that something does not exist.
    """

    def __init__(
        self,
        address: Address,
        prepare: Callable[[AbstractChannel], Awaitable[None]],
        repair: Callable[[], Awaitable[None]],
        *,
        confirms: bool,
    ) -> None:
        self.generation = 0
        self._trouble = "not connected yet"
        self._address = address
        self._prepare = prepare
        self._repair = repair
        self._confirms = confirms
        self._connection: Connection | None = None
        self._channel: Engine | None = None
        self._refusal: BrokerRefused | None = None
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._repaired = False
        self._closed = False

    @property
    def state(self) -> ConnectionState:
        """How the connection is now."""
        if (channel := self._usable()) is not None:
            return "blocked" if is_blocked(cast(EngineConnection, channel.connection)) else "up"
        return "connecting" if self._keeper is not None and not self._keeper.done() else "down"

    @property
    def trouble(self) -> str:
        """What keeps it from being used, for people; empty where nothing does."""
        blocked = "RabbitMQ has blocked the connection: it is out of memory or disk space"
        return blocked if self.state == "blocked" else self._trouble

    async def channel(self) -> Engine:
        """Return what the channel runs on, as soon as it is up and not blocked. Raise `BrokerRefused` where RabbitMQ
        was never reached but to refuse, `BrokerUnavailable` after `close()`. What it waits for is in `trouble`."""
        while True:
            self._keep_or_raise()
            channel = self._usable()
            if channel is None:
                if self._refusal is not None and self.generation == 0:
                    raise self._refusal
                await self._changed.wait()
            elif is_blocked(connection := cast(EngineConnection, channel.connection)):
                await _until_unblocked_or_closed(connection)
            else:
                return channel

    async def drop(self) -> None:
        """Close the connection that is up; a new one takes its place."""
        if self._connection is not None:
            await disconnect(self._connection)

    async def close(self) -> None:
        """Close it for good, within some 2 s; twice is as good as once."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper}, timeout=CLOSE_SECONDS)
        await self.drop()

    def _keep_or_raise(self) -> None:
        """See to it that the connection is kept up. Raise `BrokerUnavailable` where it is closed for good."""
        if self._closed:
            raise BrokerUnavailable("the connection to RabbitMQ was closed by this process")
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_up(), name="RabbitMQ connection")
            self._keeper.add_done_callback(lambda _: self._tell())
        if self._keeper.done():
            self._keeper.result()  # a defect: it never ends by itself

    def _usable(self) -> Engine | None:
        return self._channel if self._channel is not None and is_open(self._channel) else None

    async def _keep_up(self) -> None:
        while True:
            await again_and_again(self._open, LONGEST_PAUSE_TO_PUBLISH if self._confirms else LONGEST_PAUSE)
            await self._until_lost()
            await asyncio.sleep(random.uniform(0, 0.2))  # when a broker comes back, so do all its clients

    async def _open(self) -> None:
        try:
            with cancelled_by_us_alone():
                channel = await self._new_channel()
        except BaseException as error:
            await self._failed(error)
            raise
        if self.generation:
            log.info("RabbitMQ at %s is back", self._address)
        self.generation += 1
        self._trouble = ""
        self._refusal = None
        self._channel = channel
        self._tell()

    async def _new_channel(self) -> Engine:
        self._connection = await connect(self._address)
        async with asyncio.timeout(PREPARE_SECONDS):
            channel = await open_channel(self._connection, confirms=self._confirms)
            await self._prepare_or_repair(channel)
            return await engine_of(channel)

    async def _prepare_or_repair(self, channel: AbstractChannel) -> None:
        try:
            await self._prepare(channel)
        except ChannelNotFoundEntity as error:
            if self._repaired:
                self._repaired = False  # the next attempt repairs again: it may have been lost once more
                raise BrokerRefused(f"RabbitMQ at {self._address}: {said(error)}") from error
            await self._repair()
            self._repaired = True
            raise AMQPConnectionError(f"{said(error)}; declared again") from error
        self._repaired = False

    async def _failed(self, error: BaseException) -> None:
        if self._connection is not None:
            await disconnect(self._connection)
        if not isinstance(error, Exception):
            return
        self._note(error)
        self._refusal = refusal(error, self._address)
        self._tell()

    async def _until_lost(self) -> None:
        channel = cast(Engine, self._channel)
        await asyncio.wait({channel.closing, channel.connection.closing}, return_when=asyncio.FIRST_COMPLETED)
        cause = _cause(channel)
        self._note(cause)
        self._tell()
        await self.drop()
        if isinstance(cause, ChannelNotFoundEntity):
            with suppress(BridgeError):  # said by the repair; the next attempt meets it again
                await self._repair()

    def _note(self, error: BaseException) -> None:
        text = said(error) if isinstance(error, AMQPError) else str(error) or type(error).__name__
        if not self._trouble:
            log.warning("RabbitMQ at %s is lost: %s; connecting again", self._address, text)
        self._trouble = text

    def _tell(self) -> None:
        """Wake everyone who waits for a change."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _cause(channel: Engine) -> BaseException:
    for closing in (channel.closing, channel.connection.closing):
        if closing.done() and not closing.cancelled():
            error = closing.exception()
            if error is not None:
                return error
    return AMQPConnectionError("the connection was closed")


async def _until_unblocked_or_closed(connection: EngineConnection) -> None:
    unblocked = asyncio.ensure_future(connection.ready())
    closing = connection.closing
    try:
        await asyncio.wait({unblocked, closing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        unblocked.cancel()
        closing.cancel()
