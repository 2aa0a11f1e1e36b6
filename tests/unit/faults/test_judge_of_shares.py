"""The judge of priorities, by forged histories."""

from collections.abc import Iterator, Sequence
from itertools import count

import pytest

from tests.faults.history import Record
from tests.faults.share_rules import LEAST, PRIORITIES, SHARE_RULES
from tests.unit.faults.forging import attempt, broken, effect, end, hurt, invoke

STARVED = "low events did not get their share"
OVERTAKEN = "less urgent events came before more urgent ones"
HIGH, NORMAL, LOW = PRIORITIES

FAIR = ([HIGH] * 4 + [NORMAL]) * 4 + [LOW]
"""Turns by weight: 16 high, 4 normal, 1 low."""


def flood(turns: Sequence[str], *, of_each: int = 60) -> tuple[Record, ...]:
    """A flood of events of each priority, which run in these turns; those without a turn run at the end."""
    waiting = {priority: [f"{priority}-{number}" for number in range(of_each)] for priority in PRIORITIES}
    published = [
        record
        for priority, keys in waiting.items()
        for key in keys
        for record in ({**invoke(key), "priority": priority}, end("ok", key))
    ]
    in_turn = [waiting[priority].pop() for priority in turns]
    rest = [key for keys in waiting.values() for key in keys]
    return (*published, *_runs(in_turn + rest))


def _runs(keys: Sequence[str]) -> Iterator[Record]:
    for at, key in zip(count(1.0, 0.1), keys, strict=False):
        yield attempt(key, at)
        yield effect(key, at + 0.05)


@pytest.mark.parametrize(
    ("turns", "rules"),
    [
        (FAIR * 2, []),
        (FAIR * 3, []),
        (([HIGH] * 2 + [NORMAL]) * 14 + [LOW] * 2, []),
        (([HIGH] * 4 + [NORMAL]) * 10, [STARVED]),
        ([HIGH, NORMAL, LOW] * 20, [OVERTAKEN]),
        ([NORMAL] * 40 + [HIGH] * 8 + [LOW] * 2, [OVERTAKEN]),
        ([HIGH] * 36 + [LOW] * 10 + [NORMAL] * 4, [OVERTAKEN]),
        ([HIGH] * 30 + [NORMAL] * 25, [STARVED, OVERTAKEN]),
        ([HIGH, NORMAL, LOW] * 13, []),
    ],
    ids=[
        "by weight",
        "by weight, for longer",
        "by about half of the weight",
        "no low one",
        "in turn",
        "normal before high",
        "low before normal",
        "no low one, and many normal ones",
        "too few to be judged",
    ],
)
def test_each_priority_gets_its_share(turns: list[str], rules: list[str]) -> None:
    """While events of all priorities wait."""
    events = flood(turns, of_each=max(map(turns.count, PRIORITIES)) + 6)

    assert broken(*events) == rules


@pytest.mark.parametrize(("more", "rules"), [(LEAST - 1, []), (LEAST + 10, [OVERTAKEN])])
def test_events_of_one_priority_run_if_no_others_wait(more: int, rules: list[str]) -> None:
    """The share counts only while several events of each priority wait."""
    assert broken(*flood(FAIR * 2 + [LOW] * 35, of_each=32 + more)) == rules


@pytest.mark.parametrize(("at", "rules"), [(3.0, []), (90.0, [STARVED])])
def test_a_fault_ends_a_stretch(at: float, rules: list[str]) -> None:
    """Another worker begins the turns anew."""
    turns = ([HIGH] * 4 + [NORMAL]) * 10

    assert broken(*flood(turns, of_each=46), hurt(at=at)) == rules


def test_events_whose_shares_are_not_judged_count_for_nothing() -> None:
    """Such as those of other queues."""
    plain = ({name: value for name, value in record.items() if name != "priority"} for record in flood([LOW] * 50))

    assert broken(*plain) == []


def test_each_rule_for_priorities_has_a_forged_history() -> None:
    """A rule that nothing breaks could be taken out unnoticed."""
    assert {STARVED, OVERTAKEN} == set(SHARE_RULES)
