"""What became of the events of a step."""

import pytest

from dead_letter.step_outcomes import StepOutcomes
from tests.unit.bridge.failures.examples import attempt, dead

OLD = dead(1).fingerprint.id


def _step(*numbers: int) -> StepOutcomes:
    outcomes = StepOutcomes({OLD})
    outcomes.begin(map(dead, numbers))
    return outcomes


def test_the_first_outcome_of_an_event_counts() -> None:
    """A retry is a failure. Attempts of other events count nothing."""
    outcomes = _step(1, 2, 3)

    for entry in (
        attempt(1, end="delivered"),
        attempt(1, end="dead"),
        attempt(2, "no route"),
        attempt(2, end="delivered"),
        attempt(9, end="delivered"),
    ):
        outcomes.add_attempt(entry)

    assert (outcomes.delivered, outcomes.failed, outcomes.reappeared_in_step, outcomes.left) == (1, 1, 0, 1)


def test_an_event_that_fails_as_before_is_named() -> None:
    """In the history, or as a new letter."""
    outcomes = _step(1, 2)

    outcomes.add_attempt(attempt(1, "no customer 5"))
    outcomes.add_letter(dead(2))

    assert (outcomes.failed_in_step, outcomes.reappeared_in_step, outcomes.left) == (2, 2, 0)


@pytest.mark.parametrize("end", ["snoozed", "halted"])
def test_an_event_that_waits_is_not_known(end: str) -> None:
    """It was neither delivered nor did it fail."""
    outcomes = _step(1)

    outcomes.add_attempt(attempt(1, end=end))

    assert (outcomes.left, outcomes.failed) == (1, 0)


def test_an_event_of_an_earlier_step_counts_late() -> None:
    """The plan did not wait for it any longer. Its failure counts in the present step."""
    outcomes = _step(1)
    outcomes.begin([dead(2)])

    outcomes.add_attempt(attempt(1))

    assert (outcomes.failed_in_step, outcomes.size, outcomes.left) == (1, 1, 1)


def test_an_event_that_was_unroutable_is_found_in_its_queue() -> None:
    """Its letter has no queue."""
    outcomes = StepOutcomes({OLD})
    outcomes.begin([dead(1, queue="")])

    outcomes.add_attempt(attempt(1, end="delivered"))

    assert (outcomes.delivered, outcomes.left) == (1, 0)


def test_nothing_is_expected_of_a_skipped_letter() -> None:
    """Nobody waits for it."""
    outcomes = _step(1)

    outcomes.leave_out(dead(1))
    outcomes.add_attempt(attempt(1))

    assert (outcomes.left, outcomes.failed) == (0, 0)
