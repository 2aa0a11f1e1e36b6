"""The reply headers that carry a verdict."""

import json
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.attempt import Error, encodable
from bridge.reply import KINDS, MAX_FINISHED, STATUSES, Kind, Verdict, headers_of, verdict_of
from bridge.retry_table import RetryTable

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def lowered(verdict: Verdict) -> dict[str, str]:
    """Return the headers of a verdict as the worker has them, with names in lower case."""
    return {name.lower(): value for name, value in headers_of(verdict)}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_verdict_comes_back_as_it_was(kind: Kind) -> None:
    """The worker reads the same verdict that the receiver wrote."""
    verdict = Verdict(kind, Error("KeyError", "a\nb", "T\n"), 30.0, ("shop:mail", "shop:log"), "v1.2")
    assert verdict_of(lowered(verdict), NOW) == verdict


@given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50))
def test_headers_are_ascii_without_line_ends_whatever_was_raised(kind: str, message: str, release: str) -> None:
    """The text of an exception cannot split a header."""
    for _, value in headers_of(Verdict("failed", Error(kind, message, message), None, (message,), release)):
        assert value.isascii()
        assert value.isprintable()


def test_a_wait_is_rounded_up_never_down() -> None:
    """A wait is rounded up to whole seconds for Retry-After, so that a retry never comes early."""
    assert lowered(Verdict("retry", retry_after=1.2))["retry-after"] == "2"
    assert lowered(Verdict("retry", retry_after=3.0))["retry-after"] == "3"


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.25, 1.0, 1.5, 86_400.0])
def test_the_worker_reads_a_wait_to_the_millisecond(wait: float) -> None:
    """A snooze may be shorter than the second of Retry-After."""
    verdict = Verdict("overloaded", retry_after=wait)
    assert verdict_of(lowered(verdict), NOW) == verdict


def test_a_retry_policy_comes_back_as_it_was() -> None:
    """The policy of the listeners that failed."""
    verdict = Verdict("failed", retry=RetryTable(5, timedelta(seconds=0.5), 1.5, timedelta(hours=1), 0.0))
    assert verdict_of(lowered(verdict), NOW) == verdict


@pytest.mark.parametrize("text", ["", "5", "{}", '{"attempts": -1}', "[" * 100_000])
def test_a_damaged_retry_policy_is_dropped(text: str) -> None:
    """The policy of the queue decides."""
    assert verdict_of({"bridge-outcome": "failed", "bridge-retry": text}, NOW) == Verdict("failed")


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e9", "inf", "nan", "1.2345", "9" * 20, "١"])
def test_a_damaged_wait_is_dropped(text: str) -> None:
    """Retry-After is read instead."""
    found = verdict_of({"bridge-outcome": "overloaded", "bridge-wait": text, "retry-after": "7"}, NOW)
    assert found == Verdict("overloaded", retry_after=7.0)


@pytest.mark.parametrize("letter", ["x", "€", "\0", '"', "\ud800"])
def test_finished_listeners_of_any_number_and_length_are_read_within_bounds(letter: str) -> None:
    """A foreign server's header of 120 KB leaves as many names as an envelope can carry, each whole."""
    names = [f"{number}:{letter * 30}" for number in range(3000)]

    verdict = verdict_of({"bridge-outcome": "failed", "bridge-finished": json.dumps(["n" * 120_000, *names, 5])}, NOW)

    assert verdict is not None
    assert len(json.dumps(verdict.finished, ensure_ascii=False, separators=(",", ":")).encode()) <= MAX_FINISHED + 2
    assert len(verdict.finished) >= 100
    assert verdict.finished == tuple(map(encodable, names))[: len(verdict.finished)]


@pytest.mark.parametrize("text", ["", "{}", "7", '"abc"', "null", "[" * 100_000, "[[1]]"])
def test_finished_listeners_that_are_no_list_of_names_are_none(text: str) -> None:
    """A damaged detail does not void the verdict."""
    assert verdict_of({"bridge-outcome": "failed", "bridge-finished": text}, NOW) == Verdict("failed")


def test_every_verdict_has_a_status_of_its_own_kind() -> None:
    """Every kind of verdict has an HTTP status."""
    assert set(STATUSES) == KINDS
