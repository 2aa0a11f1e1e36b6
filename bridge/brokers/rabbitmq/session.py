"""One generation of a consumer: a channel, what it delivered, and the settlements on their way back.

Acknowledgements are gathered and go out together, one frame for the settled prefix: RabbitMQ's work for an event falls
to a third by it. What belongs to a channel that is gone is never sent: RabbitMQ would close the next one for it.
"""

import asyncio
from collections.abc import Callable

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel as Engine
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection import is_open
from bridge.brokers.rabbitmq.window import Window
from bridge.errors import DeliveryLost

GATHER_SECONDS = 0.002


class Session:
    """The settlements of one channel. `idle` tells whether nothing waits to be handed out, so that gathering more
    would only delay."""

    def __init__(self, channel: Engine, idle: Callable[[], bool]) -> None:
        self.channel = channel
        self.window = Window()
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._flush_at: asyncio.TimerHandle | asyncio.Handle | None = None

    @property
    def lost(self) -> bool:
        """Whether the channel is gone, and its deliveries with it."""
        return not is_open(self.channel)

    def ack(self, tag: int) -> None:
        """Acknowledge a delivery within some 2 ms. Raise `DeliveryLost`."""
        self.check()
        self.window.ack(tag)
        self._flush_soon()

    def ack_replaced(self, tag: int) -> None:
        """Acknowledge a delivery that something confirmed has taken the place of. Where the channel is gone, it comes
        again all the same; whoever settled it knows its token."""
        if not self.lost:
            self.ack(tag)

    def give_back(self, tag: int) -> None:
        """Give a delivery back at once. Raise `DeliveryLost`."""
        self.check()
        self.window.give_back(tag)
        self.flush()

    def check(self) -> None:
        """Raise `DeliveryLost` where the channel is gone."""
        if self.lost:
            raise DeliveryLost("the connection that brought this delivery is gone; RabbitMQ delivers it again")

    def flush(self) -> None:
        """Send what is settled."""
        if self._flush_at is not None:
            self._flush_at.cancel()
            self._flush_at = None
        if self.lost:
            return
        if self.channel.write_queue.full():
            self._flush_at = self._loop.call_later(GATHER_SECONDS, self.flush)
            return
        frames = self._frames()
        if frames:
            self.channel.write_queue.put_nowait(ChannelFrame.marshall(self.channel.number, frames))

    def _frames(self) -> list[Basic.Nack | Basic.Ack]:
        verdicts = self.window.take_verdicts()
        frames: list[Basic.Nack | Basic.Ack] = [Basic.Nack(tag, requeue=True) for tag in verdicts.given_back]
        if verdicts.acked_up_to is not None:
            frames.append(Basic.Ack(verdicts.acked_up_to, multiple=True))
        frames.extend(Basic.Ack(tag) for tag in verdicts.acked)
        return frames

    def _flush_soon(self) -> None:
        if self._flush_at is not None:
            return
        if self._idle():
            self._flush_at = self._loop.call_soon(self.flush)
        else:
            self._flush_at = self._loop.call_later(GATHER_SECONDS, self.flush)
