"""The deliveries in hand: which is next, and how many are handed out."""

from collections import Counter
from dataclasses import dataclass

import pytest

from bridge.brokers.any_broker.hand import Hand, lane_prefetch
from bridge.handling import Priority
from bridge.queues import Queue

QUEUES = {"mail": Queue("mail", weight=3), "default": Queue("default")}


@dataclass(frozen=True)
class Delivery:
    """A delivery as the hand sees it."""

    queue: str
    priority: Priority
    number: int


def full(most: int) -> Hand[Delivery]:
    """Return a hand with 30 deliveries of each lane of both queues."""
    hand = Hand[Delivery](QUEUES, dict.fromkeys(QUEUES, most))
    for number in range(30):
        for queue in QUEUES:
            for priority in Priority:
                hand.add(Delivery(queue, priority, number))
    return hand


def test_queues_take_turns_and_then_their_priorities() -> None:
    """Urgent events of one queue do not starve another queue. Within a lane the order is kept."""
    hand = full(most=1)
    taken = [delivery for _ in range(28) if (delivery := hand.next({})) is not None]

    assert Counter(each.queue for each in taken) == {"mail": 21, "default": 7}
    of_mail = [each for each in taken if each.queue == "mail"]
    assert Counter(each.priority for each in of_mail) == {Priority.HIGH: 16, Priority.NORMAL: 4, Priority.LOW: 1}
    assert [each.number for each in of_mail if each.priority is Priority.HIGH] == list(range(16))


def test_no_more_are_handed_out_than_the_prefetch() -> None:
    """Of a queue whose prefetch is used up nothing is next, whatever is in hand."""
    hand = full(most=2)

    assert all((delivery := hand.next({"mail": 2})) and delivery.queue == "default" for _ in range(90))
    assert hand.next({"mail": 2}) is None
    assert hand.next({"mail": 1}) is not None


def test_a_delivery_can_be_removed() -> None:
    """It is in hand once."""
    hand = full(most=1)
    first = next(iter(hand))
    hand.remove(first)
    assert len(hand) == 179
    with pytest.raises(ValueError, match="not in"):
        hand.remove(first)


def test_a_queue_without_priorities_is_held_no_deeper() -> None:
    """A lane in competition is, by two at most, and none where nothing may be held."""
    assert [lane_prefetch(most, contended=False) for most in (0, 1, 4)] == [0, 1, 4]
    assert [lane_prefetch(most, contended=True) for most in (0, 1, 4)] == [0, 2, 6]
