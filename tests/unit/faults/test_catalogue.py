"""The catalogue of faults: every one of them is tried, at length and in a short ordeal."""

from collections import Counter
from types import ModuleType

import pytest

from tests.faults import call_faults, steering_faults
from tests.faults.catalogue import FAMILIES, FAULTS, PAIRS, ordeals

MOSTLY_LONG = (call_faults, steering_faults)
"""Families that repeat the faults of others under another load. One of each kind has a short ordeal."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.rpartition(".")[2])
def test_each_fault_has_a_short_ordeal(family: ModuleType) -> None:
    """None is left for the long run alone, but for most of those that are another family's."""
    short = {fault for group in family.SHORT for fault in group}

    assert short == set(family.FAULTS) or (family in MOSTLY_LONG and short and short < set(family.FAULTS))


def test_each_fault_has_a_long_ordeal_on_each_of_its_stages() -> None:
    """Alone; the pairs come on top."""
    alone = Counter((on, faults[0].name) for on, faults in ordeals() if len(faults) == 1)

    assert alone == Counter((on, fault.name) for fault in FAULTS for on in fault.on)
    assert len(ordeals()) == alone.total() + len(PAIRS)
