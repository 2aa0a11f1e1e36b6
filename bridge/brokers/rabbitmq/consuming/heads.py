"""The retries that wait at the heads of ordered queues, in a log: their messages stay in the queue as they were first
published, so that they keep their place, and history and time of a retry survive the worker and the broker.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bridge.brokers.any_broker.record_log import RecordLog
from bridge.envelope import Envelope, decode_head, encode_head
from bridge.errors import BridgeError, BrokerUnavailable, UnreadableEnvelope
from bridge.event import format_time
from bridge.json_fields import MAX_COUNT, any_text, count, time
from bridge.logs import Content

MAX_HEAD = 20 * 1024
"""Bytes of an envelope's head in a record. A longer one is written with less history."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry at the head of a queue. `number` counts the retries of the message. `due` is a time of this machine's
    clock before which the event does not begin."""

    envelope: Envelope
    number: int
    due: datetime


class Heads:
    """The log of the heads. It is opened when it is first needed."""

    def __init__(self, opener: Callable[[], RecordLog]) -> None:
        self._opener = opener
        self._opened: RecordLog | None = None

    async def put(self, queue: str, message_id: str, retry: Retry) -> None:
        """Write the retry of a message. Raise `BrokerUnavailable` if that is not confirmed."""
        record = {
            "queue": queue,
            "message": message_id,
            "number": retry.number,
            "due": format_time(retry.due),
            "head": encode_head(retry.envelope, MAX_HEAD),
        }
        try:
            await self._log.append(record)
        except BridgeError as error:
            raise BrokerUnavailable(f"the retry at the head of queue {queue} is not confirmed: {error}") from error

    async def find(self, queue: str, message_id: str, data: bytes) -> Retry | None:
        """Return the last retry of a message that has these data; None if it was not retried. Raise `BrokerUnavailable`
        or `BrokerRefused`."""
        last: Content | None = None
        async for record in self._log.read():
            if record.content.get("queue") == queue and record.content.get("message") == message_id:
                last = record.content
        return None if last is None else _retry(last, data)

    @property
    def _log(self) -> RecordLog:
        if self._opened is None:
            self._opened = self._opener()
        return self._opened


def _retry(content: Content, data: bytes) -> Retry | None:
    """Return the retry in a record; None if it cannot be read: then the event runs as it was first published."""
    try:
        envelope = decode_head(any_text(content["head"]), data)
        return Retry(envelope, count(content["number"], MAX_COUNT), time(content["due"]))
    except (KeyError, ValueError, UnreadableEnvelope):
        return None
