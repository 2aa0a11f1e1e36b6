"""A channel that consumes: its unacknowledged deliveries, and the acknowledgements that are sent for them.

Acknowledgements are collected and sent together, with one frame for all settled deliveries up to the first open one:
that cuts RabbitMQ's work for an event to a third. Acknowledgements of a closed channel are never sent on the next one:
RabbitMQ would close that as well.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from aiormq.channel import Channel as Engine
from pamqp.commands import Basic

from bridge.brokers.rabbitmq.connection.client_internals import socket_has_room, write_frames
from bridge.brokers.rabbitmq.connection.connecting import is_open
from bridge.brokers.rabbitmq.consuming.unacked import Unacked
from bridge.errors import DeliveryLost

GATHER_SECONDS = 0.001

SENT_AT_SHARE = 6
SENT_AT_MOST = 8
"""Acknowledgements are sent when they are a sixth of a queue's prefetch, or 8: RabbitMQ can send further deliveries
while the rest are run, and few events that have ended would run again if this worker were killed."""


def sent_at_once(*, waiting: bool, running: int, settled: int, prefetch: int) -> bool:
    """Return whether acknowledgements are sent now, and not within `GATHER_SECONDS`.

    While deliveries are `waiting` for the worker, or others are `running`, they are collected until they are too many:
    `settled` of the `prefetch` of a queue.
    """
    return settled >= min(prefetch / SENT_AT_SHARE, SENT_AT_MOST) or not (waiting or running)


class ConsumerChannel:
    """The settlements of one channel. `waiting` returns True if deliveries wait for the worker. `prefetch` returns how
    many deliveries of a queue are held at most. `fewer` is called when a delivery that was handed out is settled.

    `handed_out` counts the deliveries of each queue that are handed out and not settled.
    """

    def __init__(
        self,
        engine: Engine,
        waiting: Callable[[], bool],
        prefetch: Callable[[str], int],
        fewer: Callable[[], None],
    ) -> None:
        self.engine = engine
        self.unacked = Unacked()
        self.handed_out: Counter[str] = Counter()
        self._queues: dict[int, str] = {}
        self._acked: Counter[str] = Counter()
        self._waiting = waiting
        self._prefetch = prefetch
        self._fewer = fewer
        self._loop = asyncio.get_running_loop()
        self._flush_at: asyncio.TimerHandle | asyncio.Handle | None = None

    @property
    def lost(self) -> bool:
        """True if the channel is closed, so that its deliveries can no longer be settled."""
        return not is_open(self.engine)

    def hand_out(self, tag: int, queue: str) -> None:
        """Count a delivery as handed out until it is settled."""
        self._queues[tag] = queue
        self.handed_out[queue] += 1

    def take_back(self, tag: int) -> None:
        """Count a delivery as handed out no more, although it is not settled."""
        self._settled(tag)

    def ack(self, tag: int) -> None:
        """Acknowledge a delivery within some milliseconds. Raise `DeliveryLost`."""
        self.check()
        queue = self.unacked.ack(tag)
        self._settled(tag)
        self._acked[queue] += 1
        self._flush_soon(queue)

    def ack_replaced(self, tag: int) -> None:
        """Acknowledge a delivery whose replacement is confirmed. If the channel is gone, RabbitMQ delivers the event
        again, and the worker recognizes by its token that it is settled."""
        if not self.lost:
            self.ack(tag)

    def requeue(self, tag: int) -> None:
        """Return a delivery to its queue at once. Raise `DeliveryLost`."""
        self.check()
        self.unacked.requeue(tag)
        self._settled(tag)
        self.flush()

    def set_aside(self, tag: int) -> None:
        """Let RabbitMQ move a delivery to the ledger unchanged, because nothing can be published in its place. Raise
        `DeliveryLost`."""
        self.check()
        self.unacked.set_aside(tag)
        self._settled(tag)
        self.flush()

    def check(self) -> None:
        """Raise `DeliveryLost` if the channel is gone."""
        if self.lost:
            raise DeliveryLost("the connection that brought this delivery is gone; RabbitMQ delivers it again")

    def flush(self) -> None:
        """Send the acknowledgements of settled deliveries."""
        if self._flush_at is not None:
            self._flush_at.cancel()
            self._flush_at = None
        if self.lost:
            return
        if not socket_has_room(self.engine):
            self._flush_at = self._loop.call_later(GATHER_SECONDS, self.flush)
            return
        frames = self._frames()
        if frames:
            write_frames(self.engine, frames)

    def _frames(self) -> list[Basic.Nack | Basic.Ack]:
        self._acked.clear()
        settled = self.unacked.take_acknowledgements()
        frames: list[Basic.Nack | Basic.Ack] = [Basic.Nack(tag, requeue=True) for tag in settled.requeued]
        frames += [Basic.Nack(tag, requeue=False) for tag in settled.set_aside]
        if settled.acked_up_to is not None:
            frames.append(Basic.Ack(settled.acked_up_to, multiple=True))
        frames.extend(Basic.Ack(tag) for tag in settled.acked)
        return frames

    def _settled(self, tag: int) -> None:
        queue = self._queues.pop(tag, None)
        if queue is not None:
            self.handed_out[queue] -= 1
            self._fewer()

    def _flush_soon(self, queue: str) -> None:
        if isinstance(self._flush_at, asyncio.TimerHandle):
            if not self._is_due(queue):
                return
            self._flush_at.cancel()
        elif self._flush_at is not None:
            return
        elif not self._is_due(queue):
            self._flush_at = self._loop.call_later(GATHER_SECONDS, self.flush)
            return
        self._flush_at = self._loop.call_soon(self.flush)

    def _is_due(self, queue: str) -> bool:
        return sent_at_once(
            waiting=self._waiting(),
            running=len(self._queues),
            settled=self._acked[queue],
            prefetch=self._prefetch(queue),
        )
