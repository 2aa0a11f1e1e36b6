"""Recovers publishing while its connection is up: declares lost objects again, and replaces a connection on which
RabbitMQ rejects publishes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from bridge.brokers.rabbitmq.connection.link import Link
from bridge.errors import BridgeError

REPAIRED_EVERY = 10.0
"""Seconds between two declarations after unroutable publishes: an event that no queue is meant to take would otherwise
cost one each time."""

FAILED_FOR = 1.0
"""Seconds after a failed declaration in which no other is tried."""

RENEWED_EVERY = 10.0
"""Seconds between two new connections after rejected publishes."""

LANDED_WITHIN = 1.0
"""Seconds that publishes in flight may take to be answered before their connection is replaced, or after their channel
has closed: aiormq does not wake a publish that waits to write."""


class Repair:
    """Declares the topology again, at most every `REPAIRED_EVERY` seconds: a queue or a binding is not declared yet, or
    was deleted. A declaration goes on if the publish that caused it gives up."""

    def __init__(self, declare: Callable[[], Awaitable[None]]) -> None:
        self._declare = declare
        self._declaring: asyncio.Task[None] | None = None
        self._declared_at = -REPAIRED_EVERY
        self._failed_at = -REPAIRED_EVERY
        self._failure: BridgeError | None = None

    async def since(self, published_at: float) -> bool:
        """Return True once the topology was declared after an unroutable publish, so that publishing again may help;
        False if it was declared shortly before the publish. Raise `BrokerRefused` or `BrokerUnavailable` if it cannot
        be declared."""
        if self._declared_at < published_at:
            if published_at - self._declared_at < REPAIRED_EVERY:
                return False
            if self._failure is not None and time.monotonic() - self._failed_at < FAILED_FOR:
                raise self._failure
            if self._declaring is None or self._declaring.done():
                self._declaring = asyncio.create_task(self._declare_now())
                self._declaring.add_done_callback(_retrieve_exception)
            await asyncio.shield(self._declaring)
        return self._declared_at >= published_at

    async def _declare_now(self) -> None:
        try:
            await self._declare()
        except BridgeError as error:
            self._failed_at, self._failure = time.monotonic(), error
            raise
        self._declared_at, self._failure = time.monotonic(), None


def _retrieve_exception(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()  # else asyncio logs it if no publish waits any more


class Renewal:
    """Replaces a connection, at most every `RENEWED_EVERY` seconds: RabbitMQ rejects all publishes of a channel that
    has met a full queue, if the queue's limit is lifted while it is full."""

    def __init__(self) -> None:
        self._renewed_at = time.monotonic()
        self._renewing = asyncio.Lock()
        self._flights = 0
        self._landed = asyncio.Event()

    @property
    def is_renewing(self) -> bool:
        """True while a connection is being replaced."""
        return self._renewing.locked()

    async def wait(self) -> None:
        """Wait while a connection is being replaced: nothing may be published meanwhile."""
        async with self._renewing:
            pass

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a publish as in flight in this block."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Count a publish as in flight."""
        self._flights += 1

    def end(self) -> None:
        """Note that a publish is no longer in flight."""
        self._flights -= 1
        self._landed.set()

    async def renew(self, link: Link) -> None:
        """Replace the link's connection, if the last time was long enough ago."""
        now = time.monotonic()
        if now - self._renewed_at < RENEWED_EVERY:
            return
        self._renewed_at = now
        async with self._renewing:
            with suppress(TimeoutError):
                async with asyncio.timeout(LANDED_WITHIN):
                    while self._flights:  # a publish that is cut off would be published twice
                        self._landed.clear()
                        await self._landed.wait()
            await link.drop()
