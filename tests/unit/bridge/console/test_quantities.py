"""Durations and sizes as text for people."""

import pytest

from bridge.console.quantities import duration_text, size_text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86399, "23 h"), (200_000, "2 d")]
)
def test_a_duration_is_in_the_largest_unit_that_it_fills(seconds: int, text: str) -> None:
    """A duration is printed in the largest unit that it fills, and a negative one as 0 s."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (3.29, "3.2 s"), (59.99, "59.9 s"), (7199, "1.9 h")])
def test_a_duration_is_never_rounded_up(seconds: float, text: str) -> None:
    """A duration is rounded down, so two hours are not printed before two hours have passed."""
    assert duration_text(seconds, 1) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (64 * 1024**2, "64.0 MiB"), (2**31, "2.0 GiB")]
)
def test_a_size_is_in_the_largest_unit_that_it_fills(size: int, text: str) -> None:
    """A size is printed in the units that settings use."""
    assert size_text(size) == text
