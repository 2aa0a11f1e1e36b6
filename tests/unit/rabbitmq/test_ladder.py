"""The arithmetic of the delay ladder."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bridge.brokers.rabbitmq.ladder import LEVELS, LONGEST, bits, climb, destination, rounded_up, to_event, to_queue

delays = some.integers(1, LONGEST)


@pytest.mark.parametrize(
    ("seconds", "rounded"), [(1, 1), (15, 15), (16, 16), (17, 18), (30, 30), (31, 32), (33, 36), (1000, 1024)]
)
def test_rounded_up(seconds: int, rounded: int) -> None:
    """Four significant bits are kept, rounded up."""
    assert rounded_up(seconds) == rounded


@given(delays)
def test_never_early_and_little_late(seconds: int) -> None:
    """A rounded delay is not shorter, at most 12.5 % longer, and takes at most four levels."""
    rounded = rounded_up(seconds)

    assert seconds <= rounded <= seconds * 1.125
    assert rounded.bit_count() <= 4


@given(delays)
def test_levels_add_up(seconds: int) -> None:
    """The levels that a message waits on add up to its delay, from the highest set bit down."""
    step = climb(timedelta(seconds=seconds), "e.a", exact=True)

    assert step is not None
    words = step.routing_key.split(".")[:LEVELS]
    assert sum(2 ** (LEVELS - 1 - place) for place, word in enumerate(words) if word == "1") == seconds
    assert words[LEVELS - 1 - step.level] == "1"
    assert "1" not in words[: LEVELS - 1 - step.level]
    assert not step.parked


@pytest.mark.parametrize(("seconds", "asked"), [(0.001, 1), (1.0, 1), (1.001, 2), (16.5, 17)])
def test_whole_seconds_up(seconds: float, asked: int) -> None:
    """An exact delay is rounded up to whole seconds."""
    step = climb(timedelta(seconds=seconds), "e.a", exact=True)

    assert step is not None
    assert step.routing_key == f"{bits(asked)}.e.a"


@pytest.mark.parametrize("seconds", [0, -0.5, -1e6])
def test_due_already(seconds: float) -> None:
    """What is due does not enter the ladder."""
    assert climb(timedelta(seconds=seconds), "e.a", exact=True) is None


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("seconds", "parked"), [(LONGEST, False), (LONGEST + 1, True), (10**9, True)])
def test_parked(seconds: int, parked: bool, exact: bool) -> None:
    """What is due beyond the ladder's end waits as long as the ladder can, and is marked."""
    step = climb(timedelta(seconds=seconds), "q.mail", exact=exact)

    assert step is not None
    assert (step.level, step.routing_key, step.parked) == (LEVELS - 1, f"{bits(LONGEST)}.q.mail", parked)


@given(delays, some.sampled_from([to_queue("mail"), to_event("account.created")]))
def test_destination(seconds: int, bound_for: str) -> None:
    """The destination is read back from a routing key."""
    assert destination(f"{bits(seconds)}.{bound_for}") == bound_for


@pytest.mark.parametrize("key", ["", "account.created", "0.1.0", bits(5), f"2{bits(5)[1:]}.e.a"])
def test_no_destination(key: str) -> None:
    """A key that is not the ladder's has none."""
    assert destination(key) is None
