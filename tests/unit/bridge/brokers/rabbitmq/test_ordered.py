"""Messages of ordered queues: those that are held for long, and those whose retries cannot be read."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from bridge.brokers.rabbitmq.consuming import ordered
from bridge.brokers.rabbitmq.consuming.delivery import Origin, RabbitDelivery
from bridge.brokers.rabbitmq.consuming.heads import MAX_HEAD, Heads
from bridge.brokers.rabbitmq.consuming.ordered import Arrival, OrderedQueues
from bridge.envelope import encode_head
from bridge.logs import Record
from tests.limits import PATIENCE
from tests.unit.bridge.examples import envelope


class Channel:
    """A channel that records which tags return to their queue."""

    lost = False

    def __init__(self) -> None:
        self.requeued: list[int] = []

    def requeue(self, tag: int) -> None:
        """Record the tag."""
        self.requeued.append(tag)


class Written:
    """A log of the heads with one record, as another program may have written it."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._record = record

    async def read(self) -> AsyncIterator[Record]:
        """Yield the record."""
        yield Record(1, self._record)


class Defect:
    """Heads that cannot be read because of a defect in this program."""

    async def find(self, queue: str, message_id: str, data: bytes) -> None:
        """Fail."""
        raise ZeroDivisionError


def record(**changes: Any) -> dict[str, Any]:
    """Return the record of a retry of the message m in the queue mail, with changes."""
    usual = {"queue": "mail", "message": "m", "number": 3, "due": "2030-01-01T00:00:00Z"}
    return {**usual, "head": encode_head(envelope(), MAX_HEAD), **changes}


NUMBERS: list[object] = [json.loads("1e400"), float("nan"), -1, 2**70, True, "3", None, []]
TIMES: list[object] = ["9999-12-31T23:59:59-23:00", "", 7, None]
HEADS: list[object] = ["{}", "", None, {}]


@pytest.mark.parametrize(
    "damage",
    [
        {},
        *({"number": each} for each in NUMBERS),
        *({"due": each} for each in TIMES),
        *({"head": each} for each in HEADS),
    ],
)
async def test_a_record_that_cannot_be_read_is_no_retry(damage: dict[str, Any]) -> None:
    """The event runs as it was first published."""
    heads = Heads(lambda: cast(Any, Written(record(**damage))))

    found = await heads.find("mail", "m", envelope().event.data)

    assert (found is None) is bool(damage)


async def test_a_defect_does_not_hold_up_an_ordered_queue(caplog: pytest.LogCaptureFixture) -> None:
    """A redelivered message is handed out as it was first published, and the error is logged."""
    hand = list[RabbitDelivery]()
    queues = OrderedQueues(cast(Any, Defect()), cast(Any, None), hand.append, bool, asyncio.ensure_future)
    origin = Origin(1, "mail.1", cast(Any, Channel()))

    queues.arrived(Arrival("mail", "m", redelivered=True, early=0.0, origin=origin), envelope())

    async with asyncio.timeout(PATIENCE):
        while not hand:
            await asyncio.sleep(0.001)
    assert [each.envelope for each in hand] == [envelope()]
    (logged,) = caplog.records
    assert (logged.levelname, logged.exc_info is not None) == ("ERROR", True)


async def test_what_is_not_handed_out_returns_to_its_queue_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the queue is paused: RabbitMQ would take it back, with all other deliveries of the channel. What the
    worker has is its own affair."""
    monkeypatch.setattr(ordered, "HELD_AT_MOST", 0.02)
    channel, hand = Channel(), list[RabbitDelivery]()

    def withdraw(delivery: RabbitDelivery) -> bool:
        if delivery not in hand:
            return False
        hand.remove(delivery)
        return True

    queues = OrderedQueues(cast(Any, None), cast(Any, None), hand.append, withdraw, asyncio.ensure_future)
    for tag, queue in enumerate(("paused", "busy")):
        origin = Origin(tag, f"{queue}.1", cast(Any, channel))
        queues.arrived(Arrival(queue, "m", redelivered=False, early=0.0, origin=origin), envelope())
    hand.pop()  # the worker has the one of the queue that is busy

    async with asyncio.timeout(PATIENCE):
        while hand:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)

    assert channel.requeued == [0]
