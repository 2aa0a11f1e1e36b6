"""The part of `client_internals` for publishing: sends the publishes of a channel and takes RabbitMQ's answers, past
aiormq, which needs a tenth of a millisecond for each publish, and looks through all at a confirm of several.
"""

import asyncio
import time
from typing import cast

from aiormq.channel import Channel as Engine

from bridge.brokers.rabbitmq.connection.client_internals import (
    DeliveringConnection,
    socket_has_room,
    until_drained,
    write_to_socket,
)
from bridge.brokers.rabbitmq.connection.confirms import Confirms

PAUSE = 0.0001
"""Seconds after which the next publish is sent at once. Many publishes of one turn of the loop take less."""


class Outgoing:
    """Publishes on their way to the socket. One after a pause is sent at once. Others are sent at the end of their turn
    of the loop, all of them by one system call."""

    def __init__(self, channel: Engine) -> None:
        self._channel = channel
        self._frames: list[bytes] = []
        """Wait for the end of this turn."""
        self._sent_at = 0.0

    @property
    def has_room(self) -> bool:
        """True if the socket takes publishes now."""
        return socket_has_room(self._channel)

    def add(self, frames: bytes) -> None:
        """Send these frames in this turn of the loop, without waiting for the socket."""
        self._frames.append(frames)
        if len(self._frames) > 1:
            return
        if time.monotonic() - self._sent_at >= PAUSE:
            self._send()
        else:
            asyncio.get_running_loop().call_soon(self._send)

    async def drained(self, frames: bytes) -> None:
        """Send these frames, and return when the socket has taken most of what waits for it. Raise `OSError` if the
        connection breaks meanwhile."""
        self._frames.append(frames)
        self._send()
        await until_drained(self._channel)

    def _send(self) -> None:
        frames, self._frames = self._frames, []
        if frames:  # else they were sent with a large one
            write_to_socket(self._channel, b"".join(frames))
            self._sent_at = time.monotonic()


def read_confirms(channel: Engine, confirms: Confirms) -> None:
    """Take the confirms of this channel and the messages that come back, as soon as their bytes are read. Nothing may
    publish through aiormq on the channel."""
    cast(DeliveringConnection, channel.connection).deliveries.take_frames(channel.number, confirms)
