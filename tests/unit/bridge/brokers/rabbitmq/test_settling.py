"""The order of a settlement: the replacement of a delivery is confirmed before the delivery is acknowledged."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bridge.attempt import Error
from bridge.brokers.rabbitmq.consuming.delivery import Origin, RabbitDelivery
from bridge.brokers.rabbitmq.publishing.publication import IntoLedger, Publication
from bridge.envelope import Envelope
from bridge.errors import BrokerUnavailable, DeferUnconfirmed, TooLarge
from bridge.event import Event
from bridge.handling import Priority
from bridge.ledger import Letter

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ENVELOPE = Envelope(Event("1", "a", "shop", NOW, "text/plain", b""), NOW)
WAIT = timedelta(seconds=1)
LETTER = Letter(NOW, "mail", "rejected", ENVELOPE, Error("x", "y"))


class Story:
    """A channel and a publisher that record what happens. The publisher confirms when `confirm` is set."""

    lost = False

    def __init__(self) -> None:
        self.told: list[str] = []
        self.confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.delivery = RabbitDelivery(
            ENVELOPE, "mail", Priority.NORMAL, "t", False, Origin(7, "mail.1", cast(Any, self)), cast(Any, self)
        )

    def check(self) -> None:
        """Accept: the channel is open."""

    def ack_replaced(self, tag: int) -> None:
        self.told.append(f"ack {tag}")

    def set_aside(self, tag: int) -> None:
        self.told.append(f"set aside {tag}")

    async def send(self, publication: Publication) -> None:
        what = "letter" if isinstance(publication.destination, IntoLedger) else "retry"
        await self.confirm
        self.told.append(f"{what} confirmed")


@pytest.mark.parametrize("verb", ["retry", "letter"])
async def test_confirmed_first(verb: str) -> None:
    """The delivery is not acknowledged before the confirm."""
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
    """Without the confirm, the delivery is still held, and the caller gets an error."""
    story = Story()
    story.confirm.set_exception(DeferUnconfirmed("1", "no answer"))

    with pytest.raises(BrokerUnavailable, match="no answer"):
        await (story.delivery.retry(ENVELOPE, WAIT) if verb == "retry" else story.delivery.dead_letter(LETTER))

    assert story.told == []


@pytest.mark.parametrize("verb", ["retry", "letter"])
async def test_too_large_is_an_answer(verb: str) -> None:
    """RabbitMQ itself moves a message to the ledger whose replacement it does not take. Nothing is held or repeated."""
    story = Story()
    story.confirm.set_exception(TooLarge("the data is 9 bytes: RabbitMQ takes at most 8"))

    await (story.delivery.retry(ENVELOPE, WAIT) if verb == "retry" else story.delivery.dead_letter(LETTER))

    assert story.told == ["set aside 7"]
