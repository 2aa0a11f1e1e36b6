"""A lane is stalled if it is quiet, and has messages at two looks."""

from collections.abc import Sequence

from bridge.brokers.rabbitmq.consuming.stalls import ASKED_TOGETHER, Stalls
from bridge.brokers.rabbitmq.consuming.subscriptions import Lane
from bridge.handling import Priority

MAIL, URGENT, PAY = (
    Lane("mail", Priority.NORMAL),
    Lane("mail", Priority.HIGH),
    Lane("pay", Priority.NORMAL),
)


def look(stalls: Stalls, quiet: Sequence[Lane], full: Sequence[Lane]) -> list[Lane]:
    """Look once, while the lanes `full` have messages."""
    return stalls.stalled({lane: int(lane in full) for lane in stalls.to_ask(quiet)})


def test_messages_at_two_looks() -> None:
    """One look is not enough: the message may be on its way."""
    stalls = Stalls()

    found = [look(stalls, (MAIL, URGENT, PAY), full) for full in ((MAIL, PAY), (MAIL, URGENT), (URGENT,))]

    assert found == [[], [MAIL], [URGENT]]


def test_a_delivery_between_the_looks() -> None:
    """The lane is not quiet then, and the looks begin again."""
    stalls = Stalls()

    found = [look(stalls, quiet, (MAIL,)) for quiet in ((MAIL,), (), (MAIL,), (MAIL,))]

    assert found == [[], [], [], [MAIL]]


def test_no_lane_is_forgotten() -> None:
    """Of many lanes only some are asked for at a look, each in its turn, and suspected ones at the next look again."""
    lanes = [Lane(f"queue-{number:03}", Priority.NORMAL) for number in range(3 * ASKED_TOGETHER + 1)]
    stalls = Stalls()
    asked: set[Lane] = set()
    found: list[Lane] = []

    for _ in range(5):
        to_ask = stalls.to_ask(lanes)
        assert len(to_ask) <= ASKED_TOGETHER + 1
        asked.update(to_ask)
        found += stalls.stalled({lane: int(lane == lanes[50]) for lane in to_ask})

    assert asked == set(lanes)
    assert found[0] == lanes[50]
