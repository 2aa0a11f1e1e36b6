"""Opens and closes connections to RabbitMQ within time limits, and translates their errors.

The connections are aio-pika's plain ones. aiormq, the engine inside, is used directly only on the hot paths
(publishing, deliveries, acknowledgements): aio-pika's objects for each message would take a third of a worker's time.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar, cast

from aio_pika import Connection
from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel as Engine
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

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.client_internals import ToVirtualHost, adapt_client, detach_engine
from bridge.brokers.rabbitmq.connection.errors import NoAnswer, error_text, reason_of
from bridge.brokers.rabbitmq.connection.tls import tls_context
from bridge.errors import BridgeError, BrokerRefused, SettingsError

T = TypeVar("T")
Check = Callable[[Connection], Awaitable[None]]
"""Raises one of `BROKEN` if a new connection is not to be used."""

CONNECT_SECONDS = 5.0
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0
NOT_ALLOWED = 530
MOST_PREFETCH = 2**16 - 1
"""The largest prefetch of a consumer: AMQP has 16 bits for it."""

BROKEN = (AMQPError, OSError, RuntimeError, TimeoutError, asyncio.InvalidStateError)
"""The errors that aiormq raises if a connection or channel cannot be opened, or is gone."""


@contextmanager
def cancelled_by_us_alone() -> Iterator[None]:
    """Raise `CancelledError` if this task is cancelled in the block, and only then. aiormq raises `CancelledError` in a
    task that waits for a connection when the connection breaks, and a bare `Exception` or `StopAsyncIteration` when the
    other side closes it without a message: raise these as an error of `BROKEN`. When a task is cancelled, aiormq may
    return a result all the same, or raise the error of a channel that closes."""
    task = asyncio.current_task()
    cancels = task.cancelling() if task is not None else 0
    try:
        yield
    except (Exception, asyncio.CancelledError) as error:
        if task is not None and task.cancelling() > cancels:
            raise asyncio.CancelledError from error
        if isinstance(error, asyncio.CancelledError):
            raise AMQPConnectionError("the connection broke") from error
        if type(error) in (Exception, StopAsyncIteration):
            raise AMQPConnectionError("the other side closed the connection") from error
        raise
    if task is not None and task.cancelling() > cancels:
        raise asyncio.CancelledError


async def again_and_again(attempt: Callable[[], Awaitable[None]], longest_pause: float) -> None:
    """Repeat the attempt until it succeeds, with jittered back-off of at most `longest_pause` seconds. A refusal is
    repeated too, because an operator may lift it."""
    retry = retry_if_exception_type((*BROKEN, BridgeError))
    await AsyncRetrying(retry=retry, wait=wait_random_exponential(multiplier=0.1, max=longest_pause))(attempt)


async def again_for(
    seconds: float, attempt: Callable[[], Awaitable[T]], errors: tuple[type[BaseException], ...] = BROKEN
) -> T:
    """Repeat the attempt while it raises one of `errors`, for some `seconds`; then raise the last error."""
    return await AsyncRetrying(
        retry=retry_if_exception_type(errors),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        stop=stop_after_delay(seconds),
        reraise=True,
    )(attempt)


async def connect(address: Address, check: Check | None = None, last: URL | None = None) -> Connection:
    """Return a new connection to the first host that answers and passes the check, in random order, the host `last`
    after all others. Raise the error of the last host: `BrokerRefused` if it refuses this client, else one of
    `BROKEN`."""
    adapt_client()
    urls = sorted(random.sample(address.urls, len(address.urls)), key=lambda url: url == last)
    for url in urls[:-1]:
        with suppress(*BROKEN):
            return await _checked(url, address, check)
    return await _checked(urls[-1], address, check)


async def _checked(url: URL, address: Address, check: Check | None) -> Connection:
    connection = await _connect_to(url, address)
    if check is not None:
        try:
            with cancelled_by_us_alone():
                await check(connection)
        except BaseException:
            await disconnect(connection)
            raise
    return connection


async def _connect_to(url: URL, address: Address) -> Connection:
    try:
        context = await asyncio.to_thread(tls_context, address.tls) if url.scheme == "amqps" else None
        return await _opened(ToVirtualHost(url, address.vhost, context))
    except (ProbableAuthenticationError, AuthenticationError) as error:
        raise BrokerRefused(f"RabbitMQ at {address} refuses the login: {error_text(error)}") from error
    except ConnectionClosed as error:
        if isinstance(error, ConnectionNotAllowed) or error.args[:1] == (NOT_ALLOWED,):
            raise BrokerRefused(f"RabbitMQ at {address}: {error_text(error)}") from error
        raise
    except SettingsError as error:  # the file was there when the program started
        raise AMQPConnectionError(str(error)) from error
    except TimeoutError as error:
        raise NoAnswer(f"no answer within {CONNECT_SECONDS:g} s") from error
    except BROKEN as error:
        raise AMQPConnectionError(reason_of(error)) from error


async def _opened(connection: Connection) -> Connection:
    """Open the connection. Unlike `aio_pika.connect`, close it on failure and do not leave that to the garbage
    collector, which may run in another thread."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            with cancelled_by_us_alone():
                await connection.connect()
    except BaseException:
        await connection.close()
        raise
    return connection


async def open_channel(connection: Connection, *, confirms: bool, number: int | None = None) -> AbstractChannel:
    """Return a new channel of the connection, with this number or a free one. With `confirms`, publishing a message
    that no queue takes raises `PublishError`. Raise one of `BROKEN`."""
    channel = connection.channel(number, publisher_confirms=confirms, on_return_raises=confirms)
    async with asyncio.timeout(OPEN_SECONDS):
        await channel.initialize()
    return channel


async def engine_of(channel: AbstractChannel) -> Engine:
    """Return the aiormq channel inside an aio-pika channel. Raise one of `BROKEN`."""
    return cast(Engine, await channel.get_underlay_channel())


def is_open(engine: Engine) -> bool:
    """Return True if the channel and its connection are open."""
    return not (engine.is_closed or engine.connection.is_closed)


def cause_of_close(engine: Engine) -> BaseException:
    """Return the error that closed a channel or its connection, which is closed."""
    for closing in (engine.closing, engine.connection.closing):
        if closing.done() and not closing.cancelled():
            error = closing.exception()
            if error is not None:
                return error
    return AMQPConnectionError("the connection was closed")


async def disconnect(connection: Connection) -> None:
    """Close the connection within some 2 s, even if the other side is frozen; a second call does nothing."""
    engine = detach_engine(connection)
    try:
        if engine is not None:
            with suppress(*BROKEN), cancelled_by_us_alone():
                # Close aiormq's connection first: aio-pika's close never returns if the other side is frozen. Without
                # this error, aiormq would raise CancelledError in tasks that wait for a confirm.
                closed = ConnectionClosed(0, "closed by this process")
                await engine.close(closed, timeout=CLOSE_SECONDS)
    finally:
        await connection.close()  # has nothing left to wait for


def refusal(error: BaseException, address: Address) -> BrokerRefused | None:
    """Return the error as a `BrokerRefused` if RabbitMQ refused this client; None for any other error."""
    if isinstance(error, BrokerRefused):
        return error
    if isinstance(error, ChannelAccessRefused | ChannelPreconditionFailed | ChannelLockedResource):
        return BrokerRefused(f"RabbitMQ at {address}: {error_text(error)}")
    return None
