"""The arithmetic of the delay ladder."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bridge.brokers.rabbitmq.topology.delay_ladder import (
    LEVELS,
    LONGEST,
    bits,
    climb,
    destination,
    event_in,
    rounded_up,
    to_event,
    to_queue,
)
from bridge.handling import Priority

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
    """The times of the levels on which a message waits add up to its delay, from the highest bit down."""
    step = climb(timedelta(seconds=seconds), "e.a", exact=True)

    assert step is not None
    words = step.routing_key.split(".")[:LEVELS]
    assert sum(2 ** (LEVELS - 1 - place) for place, word in enumerate(words) if word == "1") == seconds
    assert words[LEVELS - 1 - step.level] == "1"
    assert "1" not in words[: LEVELS - 1 - step.level]


@pytest.mark.parametrize(("seconds", "asked"), [(0.001, 1), (1.0, 1), (1.001, 2), (16.5, 17)])
def test_whole_seconds_up(seconds: float, asked: int) -> None:
    """An exact delay is rounded up to whole seconds."""
    step = climb(timedelta(seconds=seconds), "e.a", exact=True)

    assert step is not None
    assert step.routing_key == f"{bits(asked)}.e.a"


@pytest.mark.parametrize("seconds", [0, -0.5, -1e6])
def test_due_already(seconds: float) -> None:
    """A due message does not enter the ladder."""
    assert climb(timedelta(seconds=seconds), "e.a", exact=True) is None


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("seconds", [LONGEST, LONGEST + 1, 10**9])
def test_beyond_the_end(seconds: int, exact: bool) -> None:
    """A message that is due beyond the ladder's end waits as long as the ladder can."""
    step = climb(timedelta(seconds=seconds), "q.mail", exact=exact)

    assert step is not None
    assert (step.level, step.routing_key) == (LEVELS - 1, f"{bits(LONGEST)}.q.mail")


@given(delays, some.sampled_from(Priority))
def test_destination(seconds: int, lane: Priority) -> None:
    """The destination is read from a routing key of the ladder, and the event's name from that of an event."""
    queue, event = to_queue("mail", lane), to_event("account.created", lane)
    assert destination(f"{bits(seconds)}.{queue}") == queue
    assert destination(f"{bits(seconds)}.{event}") == event
    assert (event_in(queue), event_in(event)) == (None, "account.created")


@pytest.mark.parametrize("key", ["", "account.created", "0.1.0", bits(5), f"2{bits(5)[1:]}.e.a"])
def test_no_destination(key: str) -> None:
    """Any other routing key has no destination."""
    assert destination(key) is None
