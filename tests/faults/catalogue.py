"""All faults, and the pairs of them that are tried together."""

from tests.faults import process_faults
from tests.faults.ordeal import Fault

FAULTS: tuple[Fault, ...] = (*process_faults.FAULTS,)

PAIRS: tuple[tuple[str, str, str], ...] = (("sqlite", "SIGKILL of a worker", "SIGKILL of a publisher"),)
"""A stage, and the names of two faults that are done to it at the same time."""


def ordeals() -> list[tuple[str, tuple[Fault, ...]]]:
    """Return every ordeal: the name of a stage, and its faults."""
    named = {fault.name: fault for fault in FAULTS}
    alone = [(on, (fault,)) for fault in FAULTS for on in fault.on]
    return [*alone, *((on, (named[one], named[other])) for on, one, other in PAIRS)]
