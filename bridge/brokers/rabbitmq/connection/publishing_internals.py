"""The part of `client_internals` for publishing: sends the publishes of a channel and reads RabbitMQ's answers, past
aiormq, which takes a tenth of a millisecond for each publish.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel as Engine
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from bridge.brokers.rabbitmq.connection.client_internals import can_write

Confirmed = Callable[[Basic.Ack | Basic.Nack], None]
Returned = Callable[[str], None]


class Outgoing:
    """Publishes on their way to the connection's writer. Those of one turn of the loop are sent by one system call."""

    def __init__(self, channel: Engine) -> None:
        self._channel = channel
        self._batch: _Batch | None = None

    @property
    def has_room(self) -> bool:
        """True if `add` and `drained` may be called now."""
        return can_write(self._channel) or self._is_open(self._batch)

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


def read_confirms(channel: Engine, confirmed: Confirmed, returned: Returned) -> None:
    """Call `confirmed` for each confirm of the channel, and `returned` with the id of each message that RabbitMQ
    returns, directly from the connection's reader. Nothing may publish through aiormq on the channel."""
    channel.frames = ConfirmReader(channel.frames, confirmed, returned)  # type: ignore[assignment]  # has its methods


class ConfirmReader:
    """Replaces a channel's queue of frames: takes confirms and returned messages, and queues all other frames for
    aiormq, which would wake a task for each, and look through all unconfirmed publishes at a confirm of several."""

    def __init__(self, frames: "asyncio.Queue[Any]", confirmed: Confirmed, returned: Returned) -> None:
        self._frames = frames
        self._confirmed = confirmed
        self._returned = returned
        self._returning = False
        self._message_id = ""
        self._missing = 0

    async def put(self, item: tuple[int, Any]) -> None:
        """Take a frame from the connection's reader."""
        frame = item[1]
        if isinstance(frame, Basic.Ack | Basic.Nack):
            self._confirmed(frame)
        elif isinstance(frame, Basic.Return):
            self._returning = True
        elif self._returning and isinstance(frame, ContentHeader):
            self._message_id, self._missing = frame.properties.message_id or "", frame.body_size
            self._return_if_whole()
        elif self._returning and isinstance(frame, ContentBody):
            self._missing -= len(frame.value)
            self._return_if_whole()
        else:
            self._returning = False  # the channel closes in the middle of a message
            await self._frames.put(item)

    async def get(self) -> tuple[int, Any]:
        """Return the next frame for aiormq."""
        item: tuple[int, Any] = await self._frames.get()
        return item

    def task_done(self) -> None:
        """Note that the last frame from `get` has been processed."""
        self._frames.task_done()

    def _return_if_whole(self) -> None:
        if self._missing <= 0:
            self._returning = False
            self._returned(self._message_id)
