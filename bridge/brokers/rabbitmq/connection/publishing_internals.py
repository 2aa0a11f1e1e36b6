"""The part of `client_internals` for publishing: sends the publishes of a channel and takes RabbitMQ's answers, past
aiormq, which needs a tenth of a millisecond for each publish, and looks through all at a confirm of several.
"""

import asyncio
from typing import cast

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel as Engine

from bridge.brokers.rabbitmq.connection.client_internals import DeliveringConnection
from bridge.brokers.rabbitmq.connection.confirms import Confirms


class Outgoing:
    """Publishes on their way to the connection's writer. Those of one turn of the loop are sent by one system call."""

    def __init__(self, channel: Engine) -> None:
        self._channel = channel
        self._batch: _Batch | None = None

    @property
    def has_room(self) -> bool:
        """True if `add` and `drained` may be called now."""
        return not self._channel.write_queue.full() or self._is_open(self._batch)

    def add(self, frames: bytes) -> None:
        """Send these frames, without waiting for the socket. Raise `asyncio.QueueFull` if there is no room."""
        if not self._is_open(self._batch):
            batch = _Batch()
            self._channel.write_queue.put_nowait(cast(ChannelFrame, batch))
            self._batch = batch
        cast(_Batch, self._batch).frames.append(frames)

    async def drained(self, frames: bytes) -> None:
        """Send these frames, and return when the socket has taken them. Raise the error of the channel if it closes
        meanwhile."""
        self.add(frames)
        batch = cast(_Batch, self._batch)
        if batch.drain_future is None:
            batch.drain_future = self._channel.create_future()
        await asyncio.shield(batch.drain_future)

    def _is_open(self, batch: "_Batch | None") -> bool:
        return batch is not None and not batch.taken


class _Batch:
    """What the connection's writer takes for one `ChannelFrame`: all frames that were added until then."""

    should_close = False

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.taken = False
        self.drain_future: asyncio.Future[None] | None = None

    @property
    def payload(self) -> bytes:
        self.taken = True
        return b"".join(self.frames)

    @property
    def should_drain(self) -> bool:
        return self.drain_future is not None and not self.drain_future.done()

    def drain(self) -> None:
        if self.should_drain:
            cast("asyncio.Future[None]", self.drain_future).set_result(None)


def read_confirms(channel: Engine, confirms: Confirms) -> None:
    """Take the confirms of this channel and the messages that come back, as soon as their bytes are read. Nothing may
    publish through aiormq on the channel."""
    cast(DeliveringConnection, channel.connection).deliveries.take_frames(channel.number, confirms)
