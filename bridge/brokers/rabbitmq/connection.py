"""Connections to RabbitMQ: made, closed within bounds, and what goes wrong with them in our own words.

They are aio-pika's plain ones. aiormq, the engine inside, is used directly on the hot paths alone (publishing,
deliveries, acknowledgements), where aio-pika's objects for each message would take a third of a worker's time.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar, cast

from aio_pika import Connection
from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Engine
from aiormq.connection import Connection as EngineConnection
from aiormq.exceptions import (
    AMQPConnectionError,
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelPreconditionFailed,
    ConnectionClosed,
    ConnectionNotAllowed,
    ProbableAuthenticationError,
)
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential
from yarl import URL

from bridge.brokers.rabbitmq.address import Address
from bridge.brokers.rabbitmq.tolerant import be_tolerant
from bridge.brokers.rabbitmq.topology import said
from bridge.errors import BridgeError, BrokerRefused

T = TypeVar("T")

CONNECT_SECONDS = 5.0
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0
NOT_ALLOWED = 530

BROKEN = (AMQPError, OSError, RuntimeError, TimeoutError, asyncio.InvalidStateError)
"""What aiormq raises where a connection or channel does not come about, or is gone."""

be_tolerant()

for _engine in ("aiormq", "aio_pika"):
    logging.getLogger(_engine).addHandler(
        logging.NullHandler()
    )  # else they write to stderr where nobody set up logging


@contextmanager
def cancelled_by_us_alone() -> Iterator[None]:
    """Turn a `CancelledError` that nobody asked for into an error of `BROKEN`: aiormq ends like that whoever waits at a
    connection when it breaks. So it does with a bare `Exception` or `StopAsyncIteration` where the other side closed it
    without a word."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise AMQPConnectionError("the connection broke") from error
    except Exception as error:
        if type(error) not in (Exception, StopAsyncIteration):
            raise
        raise AMQPConnectionError("the other side closed the connection") from error


async def again_and_again(attempt: Callable[[], Awaitable[None]], longest_pause: float) -> None:
    """Do it until it succeeds, with jittered back-off: a refusal, too, may end when an operator sees to it."""
    retry = retry_if_exception_type((*BROKEN, BridgeError))
    await AsyncRetrying(retry=retry, wait=wait_random_exponential(multiplier=0.1, max=longest_pause))(attempt)


async def again_for(
    seconds: float, attempt: Callable[[], Awaitable[T]], errors: tuple[type[BaseException], ...] = BROKEN
) -> T:
    """Do it until it succeeds, or raises another error than these; after so many seconds raise what it raised last."""
    return await AsyncRetrying(
        retry=retry_if_exception_type(errors),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        stop=stop_after_delay(seconds),
        reraise=True,
    )(attempt)


async def connect(address: Address) -> Connection:
    """Return a new connection to the first host that answers, in random order. Raise `BrokerRefused` where one
    refuses us, else one of `BROKEN` where none answers."""
    urls = random.sample(address.urls, len(address.urls))
    for url in urls[:-1]:
        with suppress(*BROKEN):
            return await _connect_to(url, address)
    return await _connect_to(urls[-1], address)


async def _connect_to(url: URL, address: Address) -> Connection:
    try:
        return await _opened(Connection(url))
    except (ProbableAuthenticationError, AuthenticationError) as error:
        raise BrokerRefused(f"RabbitMQ at {address} refuses the login: {said(error)}") from error
    except ConnectionClosed as error:
        if isinstance(error, ConnectionNotAllowed) or error.args[:1] == (NOT_ALLOWED,):
            raise BrokerRefused(f"RabbitMQ at {address}: {said(error)}") from error
        raise
    except TimeoutError as error:
        raise AMQPConnectionError(f"no answer within {CONNECT_SECONDS:g} s") from error


async def _opened(connection: Connection) -> Connection:
    """Open it, as `aio_pika.connect` does, which would leave what did not open to the garbage collector's thread."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            with cancelled_by_us_alone():
                await connection.connect()
    except BaseException:
        await connection.close()
        raise
    return connection


async def open_channel(connection: Connection, *, confirms: bool, number: int | None = None) -> AbstractChannel:
    """Return a new channel of the connection, of this number or of one that is free. With `confirms`, what no queue
    takes raises `PublishError`. Raise one of `BROKEN`."""
    channel = connection.channel(number, publisher_confirms=confirms, on_return_raises=confirms)
    async with asyncio.timeout(OPEN_SECONDS):
        await channel.initialize()
    return channel


async def engine_of(channel: AbstractChannel) -> Engine:
    """Return what a channel runs on. Raise one of `BROKEN`."""
    return cast(Engine, await channel.get_underlay_channel())


def is_open(engine: Engine) -> bool:
    """Tell whether the channel and its connection are there."""
    return not (engine.is_closed or engine.connection.is_closed)


async def disconnect(connection: Connection) -> None:
    """Close the connection within some 2 s, whatever the other side does; twice is as good as once."""
    transport, connection.transport = connection.transport, None
    if transport is not None:
        with suppress(*BROKEN):
            # The engine's close first, for aio-pika's has no end where the other side is frozen. Its own default would
            # end those who wait for a confirm with a CancelledError that nobody asked for.
            closed = ConnectionClosed(0, "closed by this process")
            await cast(EngineConnection, transport.connection).close(closed, timeout=CLOSE_SECONDS)
    await connection.close()  # it has nothing left to wait for


def is_blocked(connection: EngineConnection) -> bool:
    """Tell whether RabbitMQ takes no publishes now. aiormq calls nobody when that begins, but its `ready()` then
    waits, so it is asked for one step."""
    probe = connection.ready()
    try:
        probe.send(None)
    except StopIteration:
        return False
    probe.close()
    return True


def refusal(error: BaseException, address: Address) -> BrokerRefused | None:
    """Return the error as a refusal, where RabbitMQ was reached and said no."""
    if isinstance(error, BrokerRefused):
        return error
    if isinstance(error, ChannelAccessRefused | ChannelPreconditionFailed | ChannelLockedResource):
        return BrokerRefused(f"RabbitMQ at {address}: {said(error)}")
    return None
