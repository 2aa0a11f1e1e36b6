"""A connection to a Redis server for the relay, for programs that look at it, and for `defer()`. It is opened when it
is needed, and again after an error: a server that was failed over may be another one."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from bridge.config.redis_url import RedisServer
from bridge.errors import SettingsError, StoreUnavailable

T = TypeVar("T")

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0
"""Seconds that the server has to be connected to, and to answer."""
FAILURES = (RedisError, OSError, TimeoutError, UnicodeError)
"""The errors of redis-py, and those that it lets through: of the socket, of a timeout, of decoding."""


class RedisConnection:
    """One connection to a server. `run()` calls a function with the client, one command at a time."""

    def __init__(self, server: RedisServer) -> None:
        """Raise `SettingsError` if the password cannot be read."""
        self._server = server
        self._url = server.complete_url()
        self._client: Any = None

    def __str__(self) -> str:
        """Return the server in words, without a login."""
        return str(self._server)

    async def run(self, use: Callable[[Any], Awaitable[T]], seconds: float = ANSWER_SECONDS) -> T:
        """Call the function with the client, and return its result. Raise `StoreUnavailable` if the server cannot be
        reached, refuses, or does not answer in this time."""
        try:
            async with asyncio.timeout(seconds):
                return await use(self.client())
        except FAILURES as error:
            await self.close()
            raise StoreUnavailable(f"{self}: {reason(error)}") from error

    def client(self) -> Any:
        """Return the client. It connects with its first command."""
        if self._client is None:
            options: dict[str, Any] = {
                "socket_connect_timeout": CONNECT_SECONDS,
                "socket_timeout": ANSWER_SECONDS,
                "retry": Retry(NoBackoff(), 0),  # a command that was repeated could be done twice
                "protocol": 2,  # as Redis before 6 has it
            }
            try:
                self._client = Redis.from_url(self._url, **options)
            except (TypeError, ValueError) as error:
                raise SettingsError(f"{self}: {error}") from error
        return self._client

    async def ensure(self) -> None:
        """Return when the server is connected. Raise what redis-py raises."""
        pool = self.client().connection_pool
        await pool.release(await pool.get_connection())

    async def close(self) -> None:
        """Close the connection. The next call connects again."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(*FAILURES, RuntimeError):
                await client.aclose()


def reason(error: BaseException) -> str:
    """Return the server's own words on one line, or what went wrong."""
    return " ".join(str(error).split()) or "no answer in time"
