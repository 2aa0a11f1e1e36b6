"""The order of a settlement: what takes the place of a delivery is confirmed before the delivery is acknowledged."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bridge.attempt import Error
from bridge.brokers.rabbitmq.delivery import Held, RabbitDelivery
from bridge.envelope import Envelope
from bridge.errors import BrokerUnavailable, DeferUnconfirmed
from bridge.event import Event
from bridge.ledger import Letter

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ENVELOPE = Envelope(Event("1", "a", "shop", NOW, "text/plain", b""), NOW)
WAIT = timedelta(seconds=1)
LETTER = Letter(NOW, "mail", "rejected", ENVELOPE, Error("x", "y"))


class Story:
    """A session and a publisher that tell what happened, in order. The publisher confirms when told to."""

    lost = False

    def __init__(self) -> None:
        self.told: list[str] = []
        self.confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.delivery = RabbitDelivery(
            ENVELOPE, "mail", "t", False, Held(7, "mail.1", cast(Any, self)), cast(Any, self)
        )

    def check(self) -> None:
        """The channel is there."""

    def ack_replaced(self, tag: int) -> None:
        self.told.append(f"ack {tag}")

    async def put_after(self, envelope: Envelope, queue: str, wait: timedelta) -> None:
        await self._confirmed("retry")

    async def bury(self, letter: Letter) -> None:
        await self._confirmed("letter")

    async def _confirmed(self, what: str) -> None:
        await self.confirm
        self.told.append(f"{what} confirmed")


@pytest.mark.parametrize("verb", ["retry", "letter"])
async def test_confirmed_first(verb: str) -> None:
    """Nothing is acknowledged until the confirm is there."""
    story = Story()
    delivery = story.delivery
    settling = asyncio.create_task(delivery.retry(ENVELOPE, WAIT) if verb == "retry" else delivery.dead_letter(LETTER))
    await asyncio.sleep(0)
    assert story.told == []

    story.confirm.set_result(None)

    await settling
    assert story.told == [f"{verb} confirmed", "ack 7"]


@pytest.mark.parametrize("verb", ["retry", "letter"])
async def test_held_where_it_is_not_confirmed(verb: str) -> None:
    """Without the confirm the delivery is held, and the caller is told."""
    story = Story()
    story.confirm.set_exception(DeferUnconfirmed("1", "no answer"))

    with pytest.raises(BrokerUnavailable, match="no answer"):
        await (story.delivery.retry(ENVELOPE, WAIT) if verb == "retry" else story.delivery.dead_letter(LETTER))

    assert story.told == []
