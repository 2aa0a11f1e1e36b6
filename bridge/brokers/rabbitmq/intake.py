"""The short way in for deliveries: from the connection's reader straight to the consumer.

aiormq puts every frame into a queue, reads it in another task, and makes a third task for each message: a third of a
worker's time for an event. This stands in the place of a channel's queue of frames, puts the three parts of a delivery
together as they come, and leaves everything else to the queue.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiormq.channel import Channel as Engine
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

Deliver = Callable[[Basic.Deliver, Basic.Properties, bytes], None]


class Intake:
    """The frames of a channel that consumes, and never gets or publishes: whose content is deliveries' alone."""

    def __init__(self, frames: "asyncio.Queue[Any]", deliver: Deliver) -> None:
        self._frames = frames
        self._deliver = deliver
        self._method: Basic.Deliver | None = None
        self._properties = Basic.Properties()
        self._missing = 0
        self._parts: list[bytes] = []

    async def put(self, item: tuple[int, Any]) -> None:
        """Take a frame from the connection's reader."""
        frame = item[1]
        if isinstance(frame, Basic.Deliver):
            self._method = frame
        elif self._method is None:
            await self._frames.put(item)
        elif isinstance(frame, ContentHeader):
            self._properties, self._missing = frame.properties, frame.body_size
            self._hand_over_if_whole()
        elif isinstance(frame, ContentBody):
            self._parts.append(frame.value)
            self._missing -= len(frame.value)
            self._hand_over_if_whole()
        else:  # the channel was closed in the middle of a delivery
            self._method = None
            await self._frames.put(item)

    async def get(self) -> tuple[int, Any]:
        """Return the next frame that is no part of a delivery."""
        item: tuple[int, Any] = await self._frames.get()
        return item

    def task_done(self) -> None:
        """The frame that was got last is dealt with."""
        self._frames.task_done()

    def _hand_over_if_whole(self) -> None:
        if self._missing > 0 or self._method is None:
            return
        method, parts = self._method, self._parts
        self._method, self._parts = None, []
        self._deliver(method, self._properties, parts[0] if len(parts) == 1 else b"".join(parts))


def take_in(channel: Engine, deliver: Deliver) -> None:
    """Let the channel's deliveries go straight to `deliver`."""
    channel.frames = Intake(channel.frames, deliver)  # type: ignore[assignment]  # all that is used of a queue


async def ignore(message: object) -> None:
    """What aiormq is told to do with deliveries: it never sees one."""
