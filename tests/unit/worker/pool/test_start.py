"""The start of a pool fails only if all first children end before any child has run a request."""

import pytest

from worker.pool.start import Start


def started(*children: int) -> Start[int]:
    """Return the start of a pool with these children."""
    start = Start[int]()
    start.began(children)
    return start


def test_the_end_of_all_first_children_is_a_failed_start() -> None:
    """The last one's end fails it, and is the reason."""
    start = started(1, 2)

    assert not start.lost(1, "ended with exit status 1", excused=False)
    assert start.lost(2, "was ended by SIGSEGV", excused=False)
    assert start.failed == "was ended by SIGSEGV"


@pytest.mark.parametrize("proof", ["served", "excused"])
def test_a_request_or_an_excuse_makes_the_start_good(proof: str) -> None:
    """So does a child that ends for another reason than the app's start: its first request, or SIGKILL."""
    start = started(1, 2)
    if proof == "served":
        start.succeeded()
    else:
        start.lost(1, "was ended by SIGSEGV", excused=True)

    assert not start.lost(2, "was ended by SIGSEGV", excused=False)
    assert start.failed is None


def test_later_children_do_not_count() -> None:
    """Their ends are followed by boots with back-off."""
    start = started(1)

    assert not start.lost(2, "ended with exit status 1", excused=False)
    assert start.lost(1, "ended with exit status 1", excused=False)
