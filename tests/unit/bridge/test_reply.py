"""The verdict's way through the reply headers."""

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.attempt import Error
from bridge.reply import KINDS, STATUSES, Kind, Verdict, headers_of, verdict_of

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def lowered(verdict: Verdict) -> dict[str, str]:
    """The headers as the worker has them."""
    return {name.lower(): value for name, value in headers_of(verdict)}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_verdict_comes_back_as_it_was(kind: Kind) -> None:
    """What the receiver writes is what the worker reads."""
    said = Verdict(kind, Error("KeyError", "a\nb", "T\n"), 30.0, ("shop:mail", "shop:log"), "v1.2")
    assert verdict_of(lowered(said), NOW) == said


@given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50))
def test_headers_are_ascii_without_line_ends_whatever_was_raised(kind: str, message: str, release: str) -> None:
    """No exception text can split a header."""
    for _, value in headers_of(Verdict("failed", Error(kind, message, message), None, (message,), release)):
        assert value.isascii()
        assert value.isprintable()


def test_a_wait_is_rounded_up_never_down() -> None:
    """Retry-After has whole seconds, and a retry never comes early."""
    assert lowered(Verdict("retry", retry_after=1.2))["retry-after"] == "2"
    assert lowered(Verdict("retry", retry_after=3.0))["retry-after"] == "3"


def test_every_verdict_has_a_status_of_its_own_kind() -> None:
    """The table of statuses is complete."""
    assert set(STATUSES) == KINDS
