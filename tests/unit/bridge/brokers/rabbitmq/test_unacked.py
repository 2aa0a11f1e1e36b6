"""The unacknowledged delivery tags of a channel."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bridge.brokers.rabbitmq.consuming.unacked import Acknowledgements, Unacked


def unacked(*tags: int) -> Unacked:
    made = Unacked()
    for tag in tags:
        made.delivered(tag, "mail")
    return made


def test_prefix_in_one() -> None:
    """All settled tags before the first open one are acknowledged together, later ones one by one."""
    one = unacked(1, 2, 3, 4, 5)
    for tag in (5, 2, 1):
        one.ack(tag)

    assert one.take_acknowledgements() == Acknowledgements([], 2, [5])


def test_a_requeued_tag_is_no_gap() -> None:
    """A requeued tag does not interrupt the settled prefix."""
    one = unacked(1, 2, 3)
    one.ack(1)
    one.requeue(2)
    one.ack(3)

    assert one.take_acknowledgements() == Acknowledgements([2], 3, [])


def test_nothing_twice() -> None:
    """An acknowledgement is taken once."""
    one = unacked(1)
    one.ack(1)
    one.take_acknowledgements()

    assert one.take_acknowledgements() == Acknowledgements([], None, [])


def test_a_tag_that_is_set_aside_is_no_gap() -> None:
    """It does not interrupt the settled prefix."""
    one = unacked(1, 2, 3)
    one.ack(1)
    one.set_aside(2)
    one.ack(3)

    assert one.take_acknowledgements() == Acknowledgements([], 3, [], [2])
    assert one.take_acknowledgements() == Acknowledgements()


@pytest.mark.parametrize("first", ["ack", "requeue", "set_aside"])
@pytest.mark.parametrize("second", ["ack", "requeue", "set_aside"])
@pytest.mark.parametrize("taken", [True, False])
def test_settled_twice(first: str, second: str, taken: bool) -> None:
    """Settling a tag twice raises, and sends nothing to RabbitMQ."""
    one = unacked(1)
    getattr(one, first)(1)
    if taken:
        one.take_acknowledgements()

    with pytest.raises(RuntimeError, match="1 is settled twice"):
        getattr(one, second)(1)


def test_by_queue() -> None:
    """Unsettled deliveries are counted by queue."""
    one = unacked(1, 2)
    one.delivered(3, "audit")
    one.ack(1)

    assert one.by_queue() == {"mail": 1, "audit": 1}


@given(some.lists(some.tuples(some.integers(1, 20), some.booleans(), some.booleans()), unique_by=lambda step: step[0]))
def test_every_tag_is_settled_once(steps: list[tuple[int, bool, bool]]) -> None:
    """In any order of settling and taking, RabbitMQ gets each tag exactly once, and no other tag."""
    one, open_tags, told = unacked(*range(1, 21)), set(range(1, 21)), []
    for tag, back, take in steps:
        (one.requeue if back else one.ack)(tag)
        if take:
            settled = one.take_acknowledgements()
            told += settled.requeued
            open_tags -= set(settled.requeued)
            up_to = {tag for tag in open_tags if settled.acked_up_to is not None and tag <= settled.acked_up_to}
            told += [*up_to, *settled.acked]
            open_tags -= {*up_to, *settled.acked}

    last = one.take_acknowledgements()
    up_to = {tag for tag in open_tags - set(last.requeued) if last.acked_up_to and tag <= last.acked_up_to}
    told += [*last.requeued, *up_to, *last.acked]

    assert sorted(told) == sorted(tag for tag, _, _ in steps)
