"""Whose turn it is, by weight."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as some

from bridge.turns import Turns

WEIGHTS = {"high": 16, "normal": 4, "low": 1}
waiting = some.sets(some.sampled_from(sorted(WEIGHTS)), min_size=1)


def test_the_first_21_turns() -> None:
    """The heaviest is first, and the lightest gets its turn within one round."""
    turns = Turns[str](WEIGHTS.__getitem__)
    first = [turns.next(WEIGHTS) for _ in range(21)]
    assert first[0] == "high"
    assert Counter(first) == WEIGHTS


@given(some.lists(waiting, max_size=60), some.integers(21, 300))
def test_a_flood_of_all_is_shared_by_weight(before: list[set[str]], count: int) -> None:
    """Whatever was waiting before, for any time from then on."""
    turns = Turns[str](WEIGHTS.__getitem__)
    for each in before:
        turns.next(sorted(each))
    counts = Counter(turns.next(WEIGHTS) for _ in range(count))
    for key, weight in WEIGHTS.items():
        assert abs(counts[key] - count * weight / 21) <= weight / 2 + 2


@given(some.lists(waiting.map(lambda others: others | {"low"}), min_size=42, max_size=80))
def test_what_keeps_waiting_is_never_starved(each_time: list[set[str]]) -> None:
    """Whatever waits beside it, and whenever the others come and go."""
    turns = Turns[str](WEIGHTS.__getitem__)
    taken = [turns.next(sorted(waiting)) for waiting in each_time]
    assert "low" in taken[:42]


@given(some.integers(1, 200))
def test_nothing_is_saved_up_and_nothing_is_owed(alone: int) -> None:
    """A key that was alone, or absent, for a long time is treated like any other afterwards."""
    turns = Turns[str](WEIGHTS.__getitem__)
    for _ in range(alone):
        assert turns.next(["low"]) == "low"
    for _ in range(alone):
        turns.next(["normal", "low"])
    counts = Counter(turns.next(WEIGHTS) for _ in range(42))
    assert abs(counts["high"] - 32) <= 3
    assert counts["low"] >= 1
