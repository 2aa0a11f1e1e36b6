"""Reads a stream page by page, so that its reader needs little memory and reads no more than it asks for. A page that
RabbitMQ fails to read is read again.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import again_for, cancelled_by_us_alone
from bridge.brokers.rabbitmq.logs.replica import NOT_READY, PATIENCE, Replica, furthest
from bridge.brokers.rabbitmq.logs.stream import Stream, StreamMessage

T = TypeVar("T")

Page = list[StreamMessage]

FIRST_PAGE = 8
MOST_PAGE = 4096
PAGE_BYTES = 16 * 1024**2
"""The size up to which pages grow. Attaching to a stream takes some 25 ms."""


def next_size(page: Page, size: int) -> int:
    """Return the number of messages of the page after this one, which was read as one of `size`: twice as many, unless
    messages of this size are too many bytes."""
    mean = sum(len(message.body) for message in page) // max(len(page), 1)
    return max(min(2 * size, MOST_PAGE, PAGE_BYTES // max(mean, 1)), 1)


class StreamPages:
    """The messages that a stream has at the first reading. Raises one of `BROKEN`, or `BrokerRefused`. Close it."""

    def __init__(self, address: Address, name: str) -> None:
        self._address = address
        self._name = name
        self._replica: Replica | None = None

    async def forwards(self, start: int) -> AsyncGenerator[Page, None]:
        """Yield pages from the offset `start` on, or from the oldest message after it."""
        end, size = await self._end(), FIRST_PAGE
        if start > end:
            return
        start = max(start, await self._patiently(lambda stream: stream.oldest(end), 1))
        while start <= end:
            page = await self._page(start, min(start + size - 1, end))
            start, size = start + size, next_size(page, size)
            yield page

    async def backwards(self) -> AsyncGenerator[Page, None]:
        """Yield pages from the newest message on; the messages of each page are in the order of the stream."""
        end, size = await self._end(), FIRST_PAGE
        while end >= 0:
            page = await self._page(max(end - size + 1, 0), end)
            if not page:
                return  # the retention has removed the older ones
            end, size = end - size, next_size(page, size)  # before the user of the page takes its messages out
            yield page

    async def aclose(self) -> None:
        """Close the connection; a second call does nothing."""
        replica, self._replica = self._replica, None
        if replica is not None:
            await replica.close()

    async def _end(self) -> int:
        """Return the offset of the newest message; -1 if there is none."""
        end = (await self._connected()).end
        return -1 if end is None else end

    async def _page(self, start: int, end: int) -> Page:
        async def read(stream: Stream) -> Page:
            async with aclosing(stream.read(start, end)) as messages:
                return [message async for message in messages]

        return await self._patiently(read, end - start + 1)

    async def _patiently(self, read: Callable[[Stream], Awaitable[T]], prefetch: int) -> T:
        return await again_for(PATIENCE, partial(self._read, read, prefetch), NOT_READY)

    async def _read(self, read: Callable[[Stream], Awaitable[T]], prefetch: int) -> T:
        replica = await self._connected()
        try:
            with cancelled_by_us_alone():
                async with replica.stream(prefetch) as stream:
                    return await read(stream)
        except NOT_READY:
            await self.aclose()
            raise

    async def _connected(self) -> Replica:
        if self._replica is None:
            self._replica = await furthest(self._address, self._name)
        return self._replica
