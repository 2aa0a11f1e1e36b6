"""Mailboxes on RabbitMQ: a quorum queue for each priority. One connection publishes and another one fetches: when
RabbitMQ runs short of memory, it stops reading from connections that publish, and acknowledgements must still reach it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.connection.connecting import BROKEN
from bridge.brokers.rabbitmq.connection.errors import error_text
from bridge.brokers.rabbitmq.connection.link import Link
from bridge.brokers.rabbitmq.mailboxes.fetching import FetchingChannels, RabbitMessage
from bridge.brokers.rabbitmq.publishing.publication import to_mailbox
from bridge.brokers.rabbitmq.publishing.queue_sender import QueueSender
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.deadline import Deadline
from bridge.errors import BrokerRefused, BrokerUnavailable, Unroutable
from bridge.handling import Priority

AGAIN_SECONDS = 0.05
"""Seconds before a fetch is tried again after its connection broke."""


class RabbitMailboxes:
    """Puts and fetches messages; see the contract. `declare` makes a mailbox, or checks that it exists."""

    def __init__(self, address: Address, names: Names, declare: Callable[[str], Awaitable[None]]) -> None:
        self._names = names
        self._declare = declare
        self._declared: set[str] = set()
        self._sender = QueueSender(address, names, {}, self._declare_again)
        self._link = Link(address, _no_preparation, self._declare_again, names.question, confirms=False)
        self._channels = FetchingChannels()

    async def put(self, mailbox: str, body: bytes, priority: Priority, *, deadline: Deadline) -> None:
        """Publish a message, confirmed."""
        publication = to_mailbox(body, mailbox, priority)
        await self._have(mailbox, deadline)
        try:
            await self._sender.send(publication, deadline)
        except Unroutable:  # somebody has deleted the mailbox
            self._declared.discard(mailbox)
            await self._have(mailbox, deadline)
            await self._sender.send(publication, deadline)

    async def fetch(self, mailbox: str, seconds: float, *, deadline: Deadline) -> RabbitMessage | None:
        """Return the next message, or None."""
        until = time.monotonic() + seconds
        await self._have(mailbox, deadline)
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())):
                while True:
                    engine = await self._link.channel()
                    try:
                        async with self._channels.lent(engine) as channel:
                            return await channel.fetch(self._names, mailbox, until)
                    except ChannelNotFoundEntity:  # somebody has deleted the mailbox
                        self._declared.discard(mailbox)
                        await self._have(mailbox, deadline)
                    except ChannelAccessRefused as error:
                        raise BrokerRefused(f"mailbox '{mailbox}': RabbitMQ forbids it: {error_text(error)}") from error
                    except BROKEN:
                        await asyncio.sleep(AGAIN_SECONDS)
        except TimeoutError:
            raise self._out_of_time(deadline) from None

    async def close(self) -> None:
        """Close both connections."""
        await asyncio.gather(self._sender.close(), self._link.close())

    async def _have(self, mailbox: str, deadline: Deadline) -> None:
        """Make the mailbox, unless this process has made it before."""
        if mailbox in self._declared:
            return
        try:
            async with asyncio.timeout(deadline.remaining(time.monotonic())):
                await self._declare(mailbox)
        except TimeoutError:
            raise self._out_of_time(deadline) from None
        self._declared.add(mailbox)

    async def _declare_again(self) -> None:
        for mailbox in sorted(self._declared):
            await self._declare(mailbox)

    def _out_of_time(self, deadline: Deadline) -> BrokerUnavailable:
        why = self._link.trouble or self._sender.trouble
        return BrokerUnavailable(f"RabbitMQ did not answer within {deadline.budget:g} s{why and ': '}{why}")


async def _no_preparation(channel: AbstractChannel) -> None:
    """Do nothing: each fetch has a channel of its own."""
