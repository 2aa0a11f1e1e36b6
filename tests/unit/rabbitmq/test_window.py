"""The unsettled tags of a channel."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bridge.brokers.rabbitmq.window import Verdicts, Window


def window(*tags: int) -> Window:
    made = Window()
    for tag in tags:
        made.arrived(tag, "mail")
    return made


def test_prefix_in_one() -> None:
    """A settled prefix is acknowledged at once, what is settled beyond it one by one."""
    one = window(1, 2, 3, 4, 5)
    for tag in (5, 2, 1):
        one.ack(tag)

    assert one.take_verdicts() == Verdicts([], 2, [5])


def test_given_back_is_no_gap() -> None:
    """What was given back does not end the prefix."""
    one = window(1, 2, 3)
    one.ack(1)
    one.give_back(2)
    one.ack(3)

    assert one.take_verdicts() == Verdicts([2], 3, [])


def test_nothing_twice() -> None:
    """A verdict is taken once."""
    one = window(1)
    one.ack(1)
    one.take_verdicts()

    assert one.take_verdicts() == Verdicts([], None, [])


@pytest.mark.parametrize("first", ["ack", "give_back"])
@pytest.mark.parametrize("second", ["ack", "give_back"])
@pytest.mark.parametrize("taken", [True, False])
def test_settled_twice(first: str, second: str, taken: bool) -> None:
    """Settling twice is a defect, and RabbitMQ never hears of it."""
    one = window(1)
    getattr(one, first)(1)
    if taken:
        one.take_verdicts()

    with pytest.raises(RuntimeError, match="1 is settled twice"):
        getattr(one, second)(1)


def test_held() -> None:
    """What is not settled is counted by queue."""
    one = window(1, 2)
    one.arrived(3, "audit")
    one.ack(1)

    assert one.held() == {"mail": 1, "audit": 1}


@given(some.lists(some.tuples(some.integers(1, 20), some.booleans(), some.booleans()), unique_by=lambda step: step[0]))
def test_every_tag_is_settled_once(steps: list[tuple[int, bool, bool]]) -> None:
    """In whatever order tags are settled and verdicts taken, RabbitMQ hears of each once, and of no other."""
    one, open_tags, told = window(*range(1, 21)), set(range(1, 21)), []
    for tag, back, take in steps:
        (one.give_back if back else one.ack)(tag)
        if take:
            verdicts = one.take_verdicts()
            told += verdicts.given_back
            open_tags -= set(verdicts.given_back)
            up_to = {tag for tag in open_tags if verdicts.acked_up_to is not None and tag <= verdicts.acked_up_to}
            told += [*up_to, *verdicts.acked]
            open_tags -= {*up_to, *verdicts.acked}

    last = one.take_verdicts()
    up_to = {tag for tag in open_tags - set(last.given_back) if last.acked_up_to and tag <= last.acked_up_to}
    told += [*last.given_back, *up_to, *last.acked]

    assert sorted(told) == sorted(tag for tag, _, _ in steps)
