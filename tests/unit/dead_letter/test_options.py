"""The options of `bridge-dlq`."""

from datetime import timedelta

import pytest

from bridge.ledger import Filter
from dead_letter.options import filter_words, interval_of


@pytest.mark.parametrize(("rate", "seconds"), [("50/s", 0.02), ("10/m", 6.0), ("100/h", 36.0), ("0.5/s", 2.0)])
def test_a_rate_is_an_interval(rate: str, seconds: float) -> None:
    """The interval is in seconds between two letters."""
    assert interval_of(rate) == pytest.approx(seconds)


@pytest.mark.parametrize("rate", ["", "50", "0/s", "-1/s", "50/d", "a/s", "50/", "1e9/s", "٣/s", "nan/s"])
def test_a_wrong_rate_is_refused(rate: str) -> None:
    """The error has the given text and the expected form."""
    with pytest.raises(ValueError, match="expected a rate such as 50/s, 10/m or 100/h"):
        interval_of(rate)


def test_a_filter_can_be_typed_again() -> None:
    """The commands that the program proposes select the same letters."""
    wanted = Filter("order.#", "mail", "timed out", timedelta(hours=2), timedelta(days=4))

    assert filter_words(wanted) == [
        *("--event", "order.#", "--queue", "mail", "--error", "timed out"),
        *("--older", "7200s", "--newer", "345600s"),
    ]
