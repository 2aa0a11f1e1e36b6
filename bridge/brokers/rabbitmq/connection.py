"""Connections to RabbitMQ: made, closed within bounds, and what goes wrong with them in our own words."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import cast

import aiormq
from aiormq.channel import Channel
from aiormq.connection import Connection
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

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 2.0
NOT_ALLOWED = 530

BROKEN = (AMQPError, OSError, RuntimeError, TimeoutError, asyncio.InvalidStateError)
"""What aiormq raises where a connection or channel does not come about, or is gone."""

be_tolerant()

logging.getLogger("aiormq").addHandler(logging.NullHandler())  # else it writes to stderr where nobody set up logging


@contextmanager
def cancelled_by_us_alone() -> Iterator[None]:
    """Turn a `CancelledError` that nobody asked for into an error of `BROKEN`: aiormq ends like that whoever waits at a
    connection when it breaks."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise AMQPConnectionError("the connection broke") from error


async def again_and_again(attempt: Callable[[], Awaitable[None]]) -> None:
    """Do it until it succeeds, with jittered back-off: a refusal, too, may end when an operator sees to it."""
    retry = retry_if_exception_type((*BROKEN, BridgeError))
    await AsyncRetrying(retry=retry, wait=wait_random_exponential(multiplier=0.1, max=5))(attempt)


async def again_for(seconds: float, attempt: Callable[[], Awaitable[None]]) -> None:
    """Do it until it succeeds or is refused; after so many seconds raise what it raised last."""
    await AsyncRetrying(
        retry=retry_if_exception_type(BROKEN),
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
        async with asyncio.timeout(CONNECT_SECONDS):
            return await aiormq.connect(url)
    except (ProbableAuthenticationError, AuthenticationError) as error:
        raise BrokerRefused(f"RabbitMQ at {address} refuses the login: {said(error)}") from error
    except ConnectionClosed as error:
        if isinstance(error, ConnectionNotAllowed) or error.args[:1] == (NOT_ALLOWED,):
            raise BrokerRefused(f"RabbitMQ at {address}: {said(error)}") from error
        raise
    except TimeoutError as error:
        raise AMQPConnectionError(f"no answer within {CONNECT_SECONDS:g} s") from error


async def open_channel(connection: Connection, *, confirms: bool) -> Channel:
    """Return a new channel of the connection. Raise one of `BROKEN`."""
    return cast(Channel, await connection.channel(publisher_confirms=confirms))


async def disconnect(connection: Connection) -> None:
    """Close the connection within some 2 s, whatever the other side does."""
    with suppress(*BROKEN):
        # aiormq's own default would end those who wait for a confirm with a CancelledError that nobody asked for.
        await connection.close(ConnectionClosed(0, "closed by this process"), timeout=CLOSE_SECONDS)


def is_blocked(connection: Connection) -> bool:
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
