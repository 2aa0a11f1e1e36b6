"""A connection to RabbitMQ that reconnects by itself: down, connecting, up, blocked, and up again. Knows no events.

After a break there are a new connection, a new channel and a new generation. aio-pika's robust connections, which
restore their objects, are not used: a restored consumer acks delivery tags of a channel that is gone.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Literal, cast

from aio_pika import Connection
from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Engine
from aiormq.connection import Connection as EngineConnection
from aiormq.exceptions import AMQPConnectionError, ChannelNotFoundEntity
from yarl import URL

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.client_internals import is_blocked
from bridge.brokers.rabbitmq.connection.connecting import (
    BROKEN,
    CLOSE_SECONDS,
    again_and_again,
    cancelled_by_us_alone,
    cause_of_close,
    connect,
    disconnect,
    engine_of,
    is_open,
    open_channel,
    refusal,
)
from bridge.brokers.rabbitmq.connection.errors import NoAnswer, error_text
from bridge.brokers.rabbitmq.connection.majority import require_majority
from bridge.errors import BridgeError, BrokerRefused, BrokerUnavailable

PREPARE_SECONDS = 30.0
LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect, at most."""

LONGEST_PAUSE_TO_PUBLISH = 1.0
"""The same for a connection that publishes. It is shorter than `publish_timeout`, so the first web request after an
outage waits until the connection is back."""

ASK_SECONDS = 15.0
"""Seconds after which a link that only receives asks its host for its majority, again and again: an idle link cannot
tell a quiet broker from one that is cut off."""

log = logging.getLogger(__name__)

LinkState = Literal["down", "connecting", "up", "blocked"]


class Link:
    """One connection with one channel, for one purpose, kept open from the first use until `close()`.

    `prepare` sets up each new channel. `repair` declares lost objects again; it is called when RabbitMQ reports that an
    object does not exist. `question` is the queue for `require_majority`.
    """

    def __init__(
        self,
        address: Address,
        prepare: Callable[[AbstractChannel], Awaitable[None]],
        repair: Callable[[], Awaitable[None]],
        question: str,
        *,
        confirms: bool,
    ) -> None:
        self.generation = 0
        self._trouble = "not connected yet"
        self._address = address
        self._prepare = prepare
        self._repair = repair
        self._question = question
        self._confirms = confirms
        self._connection: Connection | None = None
        self._channel: Engine | None = None
        self._refusal: BrokerRefused | None = None
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._attempted = False
        self._repaired = False
        self._closed = False
        self._silent: URL | None = None
        """The host that gave no answer from its majority. Until the link is up again, each host is asked first."""
        self._asking: asyncio.Task[None] | None = None

    @property
    def state(self) -> LinkState:
        """The state of the connection."""
        if (channel := self._usable()) is not None:
            return "blocked" if is_blocked(cast(EngineConnection, channel.connection)) else "up"
        return "connecting" if self._keeper is not None and not self._keeper.done() else "down"

    @property
    def trouble(self) -> str:
        """The reason why the connection cannot be used, for people; empty if there is none."""
        blocked = "RabbitMQ has blocked the connection: it is out of memory or disk space"
        return blocked if self.state == "blocked" else self._trouble

    async def channel(self) -> Engine:
        """Wait until the connection is up and not blocked, and return its aiormq channel. `trouble` says why it waits.
        Raise `BrokerRefused` if RabbitMQ has refused this client and no connection has succeeded yet;
        `BrokerUnavailable` after `close()`."""
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

    async def attempted(self) -> None:
        """Wait until the first attempt to connect has ended, well or badly. Raise `BrokerUnavailable` if closed."""
        while not self._attempted:
            self._keep_or_raise()
            await self._changed.wait()

    def channel_now(self) -> Engine | None:
        """Return the aiormq channel if the connection is up and not blocked, else None."""
        channel = self._usable()
        return None if channel is None or is_blocked(cast(EngineConnection, channel.connection)) else channel

    def doubt(self) -> None:
        """Ask the present host whether it is cut off from its cluster, because nothing has arrived for some time. If no
        answer comes within some 5 s, connect to another host. A link that is down or blocked is not asked."""
        if self._confirms and len(self._address.urls) == 1:
            return  # a frozen host reads later what was published, and a second copy would run the event twice
        if self.state == "up" and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask(cast(Connection, self._connection)), name="RabbitMQ majority")

    async def drop(self) -> None:
        """Close the present connection; a new one replaces it."""
        if self._connection is not None:
            await disconnect(self._connection)

    async def close(self) -> None:
        """Close the connection without a successor, within some 2 s; a second call does nothing."""
        self._closed = True
        tasks = {task for task in (self._keeper, self._asking) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        await self.drop()

    def _keep_or_raise(self) -> None:
        """Start the task that keeps the connection open. Raise `BrokerUnavailable` after `close()`."""
        if self._closed:
            raise BrokerUnavailable("the connection to RabbitMQ was closed by this process")
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_up(), name="RabbitMQ connection")
            self._keeper.add_done_callback(lambda _: self._tell())
        if self._keeper.done():
            self._keeper.result()  # raises: the task never ends except by a defect

    def _usable(self) -> Engine | None:
        return self._channel if self._channel is not None and is_open(self._channel) else None

    async def _keep_up(self) -> None:
        while True:
            await again_and_again(self._open, LONGEST_PAUSE_TO_PUBLISH if self._confirms else LONGEST_PAUSE)
            await self._until_lost()
            await asyncio.sleep(random.uniform(0, 0.2))  # all clients reconnect when a broker comes back

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
        self._silent = None
        self._trouble = ""
        self._refusal = None
        self._channel = channel
        self._tell()

    async def _new_channel(self) -> Engine:
        check = None if self._silent is None else partial(require_majority, self._question)
        self._connection = await connect(self._address, check, last=self._silent)
        async with asyncio.timeout(PREPARE_SECONDS):
            channel = await open_channel(self._connection, confirms=self._confirms)
            await self._prepare_or_repair(channel)
            return await engine_of(channel)

    async def _prepare_or_repair(self, channel: AbstractChannel) -> None:
        try:
            await self._prepare(channel)
        except ChannelNotFoundEntity as error:
            if self._repaired:
                self._repaired = False  # the next attempt repairs again: the object may have been lost again
                raise BrokerRefused(f"RabbitMQ at {self._address}: {error_text(error)}") from error
            await self._repair()
            self._repaired = True
            raise AMQPConnectionError(f"{error_text(error)}; declared again") from error
        self._repaired = False

    async def _ask(self, doubted: Connection) -> None:
        check = partial(require_majority, self._question)
        try:
            # On another connection: a node that is cut off may close the one that asks, and while RabbitMQ is short of
            # memory it does not read from those that publish.
            await disconnect(await connect(self._address.only(doubted.url), check))
        except NoAnswer as error:
            if self._connection is doubted and self.state == "up":
                log.warning("RabbitMQ at %s: %s; trying another host", doubted.url.host, error_text(error))
                self._silent = doubted.url
                await self.drop()
        except (*BROKEN, BridgeError) as error:
            log.debug("RabbitMQ at %s cannot be asked for its majority: %s", doubted.url.host, error)

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
        ends = {channel.closing, channel.connection.closing}
        every = None if self._confirms else ASK_SECONDS
        while not (await asyncio.wait(ends, timeout=every, return_when=asyncio.FIRST_COMPLETED))[0]:
            self.doubt()
        cause = cause_of_close(channel)
        self._note(cause)
        self._tell()
        await self.drop()
        if isinstance(cause, ChannelNotFoundEntity):
            with suppress(BridgeError):  # the next attempt to connect fails for the same reason and notes it
                await self._repair()

    def _note(self, error: BaseException) -> None:
        text = error_text(error)
        if not self._trouble:
            log.warning("no connection to RabbitMQ at %s: %s; connecting again", self._address, text)
        self._trouble = text

    def _tell(self) -> None:
        """Wake all tasks that wait for a change of the state."""
        self._attempted = True
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


async def _until_unblocked_or_closed(connection: EngineConnection) -> None:
    unblocked = asyncio.ensure_future(connection.ready())
    closing = connection.closing
    try:
        await asyncio.wait({unblocked, closing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        unblocked.cancel()
        closing.cancel()
