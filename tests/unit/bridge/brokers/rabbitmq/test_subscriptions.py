"""A lane is quiet if RabbitMQ may send more of it, and nothing has arrived."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.brokers.rabbitmq.consuming import subscriptions
from bridge.brokers.rabbitmq.consuming.consumer_channel import ConsumerChannel
from bridge.brokers.rabbitmq.consuming.subscriptions import Lane, Subscriptions
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.handling import Priority

NORMAL, URGENT = Lane("mail", Priority.NORMAL), Lane("mail", Priority.HIGH)


@pytest.fixture
def held() -> Counter[str]:
    """The deliveries that are held, by queue."""
    return Counter()


@pytest.fixture
async def began(held: Counter[str], monkeypatch: pytest.MonkeyPatch) -> Subscriptions:
    """Consumers of two lanes, which hold two deliveries at most each."""

    async def answered(*_: Any) -> None:
        """Stand for RabbitMQ, which takes what is asked."""

    monkeypatch.setattr(subscriptions, "call_together", answered)
    channel = SimpleNamespace(engine=SimpleNamespace(consumers={}), unacked=SimpleNamespace(by_queue=lambda: held))
    made = Subscriptions(cast(ConsumerChannel, channel), Names("shop"))
    await made.begin({NORMAL: 2, URGENT: 2, Lane("mail", Priority.LOW): 0})
    return made


async def test_a_lane_is_quiet_until_something_arrives(began: Subscriptions) -> None:
    """And again after the next look. A lane without a consumer is none of them."""
    assert began.quiet() == {NORMAL, URGENT}
    assert began.arrived_from("mail.2") == URGENT
    assert began.quiet() == {NORMAL}
    began.listen_anew()
    assert began.quiet() == {NORMAL, URGENT}


async def test_a_lane_has_brought_something(began: Subscriptions) -> None:
    """For as long as that consumer runs, also after the next looks."""
    assert not began.has_brought(URGENT)
    began.arrived_from("mail.2")
    assert (began.has_brought(URGENT), began.has_brought(NORMAL)) == (True, False)
    began.listen_anew()
    began.listen_anew()
    assert began.has_brought(URGENT)
    began.forget("mail.2")
    assert not began.has_brought(URGENT)


async def test_a_consumer_that_holds_all_that_it_may(began: Subscriptions, held: Counter[str]) -> None:
    """RabbitMQ rightly sends it nothing. While there is room, it should."""
    held["mail"] = 1
    assert began.quiet() == {NORMAL, URGENT}
    held["mail"] = 2
    assert began.quiet() == set()
