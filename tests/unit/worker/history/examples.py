"""An attempt, a letter and decisions of one event for tests."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from bridge.history import Entry
from bridge.ledger import Dead, Redriven
from tests.unit.bridge.examples import NOW

ID = "0190a0c2-0000-7000-8000-00000000abcd"
SECOND = timedelta(seconds=1)


def entry(ago: timedelta = SECOND, **changes: Any) -> Entry:
    """Return an attempt that was settled this time before `NOW`, a success in the queue mail unless changed."""
    usual = Entry(NOW - ago, 0.25, ID, "order.paid", "mail", 1, "delivered", "web1", 11)
    return replace(usual, **changes)


def dead(ago: timedelta = SECOND, number: int = 17, **changes: Any) -> Dead:
    """Return a letter of the event."""
    usual = Dead(number, NOW - ago, "mail", "rejected", ID, "order.paid", "KeyError", "'email'", 1)
    return replace(usual, **changes)


def redriven(ago: timedelta = SECOND, letter: int = 17) -> Redriven:
    """Return a redrive of the letter."""
    return Redriven(letter + 1, letter, NOW - ago, "ada@web1", "mended")
