"""The faults of processes on SQLite, in short ordeals."""

import pytest

from tests.faults.conftest import Undergo
from tests.faults.ordeal import Fault, named
from tests.faults.process_faults import SHORT


@pytest.mark.parametrize("faults", SHORT, ids=named)
def test_nothing_is_lost(holds: Undergo, faults: tuple[Fault, ...]) -> None:
    """Every promise holds through it."""
    holds("sqlite", *faults)
