"""Attempts as text for people."""

from datetime import timedelta
from typing import Any

import pytest

from bridge.history import Entry
from tests.unit.worker.history.examples import entry
from worker.history.rendering import sentence

BY_ADA: dict[str, Any] = {"error_type": "cancelled", "error_message": "cancelled by ada@web1"}


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [
        (entry(child=12), "delivered in queue mail: attempt 1 took 250.0 ms in web1:11/12"),
        (
            entry(end="dead", reason="rejected", error_type="Reject", error_message="never"),
            "dead in queue mail: attempt 1 took 250.0 ms in web1:11: rejected · Reject: never",
        ),
        (
            entry(end="cancelled", seconds=0.0, **BY_ADA),
            "cancelled in queue mail: attempt 1 did not begin in web1:11: cancelled by ada@web1",
        ),
        (
            entry(timedelta(), end="cancelled", seconds=4.38, child=12, attempt=2, **BY_ADA),
            "cancelled in queue mail: attempt 2 took 4.4 s in web1:11/12: cancelled by ada@web1",
        ),
    ],
    ids=["delivered", "dead", "cancelled before it began", "cancelled while it ran"],
)
def test_what_became_of_an_attempt(attempt: Entry, expected: str) -> None:
    """An event that did not begin took no time. No word is said twice."""
    assert sentence(attempt) == expected
