"""The publisher of one process: events and envelopes to queues, dead letters and decisions to the ledger."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from bridge.brokers.contract.publishing import KNOWS_NO_KEYS, PUBLISH_SECONDS, Post
from bridge.brokers.rabbitmq.connection.address import Address
from bridge.brokers.rabbitmq.publishing.publication import IntoLedger, Publication, event_by_name, into_queue
from bridge.brokers.rabbitmq.publishing.queue_sender import QueueSender
from bridge.brokers.rabbitmq.publishing.sender import Sender
from bridge.brokers.rabbitmq.publishing.stream_sender import StreamSender
from bridge.brokers.rabbitmq.topology.messages import signed
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.deadline import Deadline
from bridge.envelope import Envelope
from bridge.errors import DeferError
from bridge.event import Event
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from bridge.queues import Queue


class RabbitPublisher:
    """A publisher with a connection of its own for queues and, from the first letter or decision on, one for the
    ledger's stream."""

    def __init__(
        self,
        address: Address,
        names: Names,
        queues: Mapping[str, Queue],
        repair: Callable[[], Awaitable[None]],
        keys: LedgerKeys = NO_KEYS,
    ) -> None:
        self._signed = partial(signed, names.namespace, keys)
        self._to_queues = QueueSender(address, names, queues, repair)
        self._to_ledger = StreamSender(address, names, repair)

    @property
    def trouble(self) -> str:
        """The reason why nothing can be published now, for people; empty if there is none or nothing was published
        yet."""
        return self._to_queues.trouble or self._to_ledger.trouble

    async def ready(self, deadline: Deadline) -> None:
        """Return when an event can be written; see the contract."""
        await self._to_queues.ready(deadline)

    async def publish(
        self,
        event: Event,
        due: datetime | None = None,
        *,
        deadline: Deadline | None = None,
        within: timedelta | None = None,
    ) -> None:
        """Publish an event to every queue that takes its name; see the contract. Raise `DeferError` for `within`."""
        if within is not None:
            raise DeferError(f"within={within}: {KNOWS_NO_KEYS}")
        await self.send(event_by_name(Envelope(event, round_began=due or event.time), due), deadline)

    def at_once(self, event: Event, due: datetime | None = None, *, deadline: Deadline) -> Post | None:
        """Return what publishes the event without waiting; see the contract."""
        return self._to_queues.at_once(event_by_name(Envelope(event, round_began=due or event.time), due), deadline)

    async def put(
        self, envelope: Envelope, queue: str, due: datetime | None = None, *, deadline: Deadline | None = None
    ) -> None:
        """Put an envelope into one queue; see the contract."""
        await self.send(into_queue(envelope, queue, due), deadline)

    async def send(self, publication: Publication, deadline: Deadline | None = None) -> None:
        """Publish until RabbitMQ confirms or the deadline comes (None: `PUBLISH_SECONDS` from now). Raise what
        `QueueSender` or, for the ledger, `StreamSender` raises."""
        is_for_ledger = isinstance(publication.destination, IntoLedger)
        sender: Sender = self._to_ledger if is_for_ledger else self._to_queues
        if is_for_ledger:
            publication = publication.changed(self._signed)
        await sender.send(publication, deadline or Deadline.after(PUBLISH_SECONDS, time.monotonic()))

    async def close(self) -> None:
        """Close both connections; a second call does nothing."""
        await asyncio.gather(self._to_queues.close(), self._to_ledger.close())
