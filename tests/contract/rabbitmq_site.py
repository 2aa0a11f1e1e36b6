"""A namespace on RabbitMQ as a test uses it from outside, like an operator or a foreign publisher."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiormq.exceptions
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic


@dataclass
class RabbitSite:
    """A namespace of a test's own on a shared node."""

    url: str
    namespace: str

    async def drop_queue(self, name: str) -> None:
        """Delete a queue with all its events."""
        async with self.channel() as channel:
            await channel.queue_delete(f"{self.namespace}.q.{name}")

    async def put_raw(self, queue: str, name: str, head: str, data: bytes) -> None:
        """Put a message into one queue as another version of this program would."""
        properties = Basic.Properties(
            message_id=uuid.uuid4().hex, message_type=name, headers={"bridge-envelope": head}, delivery_mode=2
        )
        await self.publish_raw("", f"{self.namespace}.q.{queue}", data, properties)

    async def append_raw(self, log: str, data: bytes) -> None:
        """Append any data to a log."""
        await self.publish_raw("", f"{self.namespace}.log.{log}", data)

    async def drop_log(self, log: str) -> None:
        """Delete a log's stream."""
        async with self.channel() as channel:
            await channel.queue_delete(f"{self.namespace}.log.{log}")

    async def broadcast_raw(self, subject: str, data: bytes) -> None:
        """Send any data to all listeners."""
        await self.publish_raw(f"{self.namespace}.broadcast", subject, data)

    async def publish_raw(
        self, exchange: str, routing_key: str, data: bytes, properties: Basic.Properties | None = None
    ) -> None:
        """Publish as a foreign program may, with confirms."""
        async with self.channel() as channel:
            await channel.basic_publish(data, exchange=exchange, routing_key=routing_key, properties=properties)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """Open a channel on a new connection."""
        async with aiormq.connect(self.url) as connection:
            yield await connection.channel()

    async def count(self, queue: str, **arguments: Any) -> int:
        """Return the number of ready messages in a queue, by its full name."""
        async with self.channel() as channel:
            return (await channel.queue_declare(queue, passive=True, **arguments)).message_count or 0

    async def has_queue(self, name: str) -> bool:
        """Return True if the queue exists."""
        try:
            await self.count(f"{self.namespace}.q.{name}")
        except aiormq.exceptions.ChannelNotFoundEntity:
            return False
        return True
