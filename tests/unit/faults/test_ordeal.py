"""The promises of an ordeal that does several faults at the same time."""

from dataclasses import replace

import pytest

from tests.faults.account import Terms
from tests.faults.ordeal import TERMS, Fault, terms_of
from tests.faults.stage import Stage


async def nothing(stage: Stage) -> None:
    """Hurt nobody."""


def faults(*terms: Terms) -> list[Fault]:
    """Faults with these terms."""
    return [Fault("a fault", nothing, on=("sqlite",), terms=each) for each in terms]


UNTIMED, SPOOLING = replace(TERMS, timed=False), replace(TERMS, refusing=False)


@pytest.mark.parametrize(
    ("terms", "combined"),
    [
        ((TERMS,), TERMS),
        ((TERMS, TERMS), TERMS),
        ((TERMS, UNTIMED), UNTIMED),
        ((SPOOLING, TERMS), SPOOLING),
        ((UNTIMED, SPOOLING), replace(TERMS, timed=False, refusing=False)),
    ],
)
def test_each_fault_has_its_say_in_the_terms(terms: tuple[Terms, ...], combined: Terms) -> None:
    """In whichever order they are named."""
    assert terms_of(faults(*terms)) == terms_of(faults(*reversed(terms))) == combined


def test_faults_of_two_policies_are_not_done_together() -> None:
    """No judge could say what was promised."""
    with pytest.raises(ValueError, match="expected one policy and one budget"):
        terms_of(faults(TERMS, replace(TERMS, attempts=9)))
