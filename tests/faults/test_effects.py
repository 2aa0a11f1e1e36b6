"""Faults while effects in the app's database happen once, in short ordeals."""

from tests.faults.conftest import Undergo, on_each_stage
from tests.faults.effect_faults import SHORT
from tests.faults.ordeal import Fault


@on_each_stage(SHORT)
def test_every_effect_happens_once(holds: Undergo, on: str, fault: Fault) -> None:
    """Every promise holds through the fault, and the app's database has each effect of a committed event once."""
    holds(on, fault)
