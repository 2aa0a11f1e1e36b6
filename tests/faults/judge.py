"""The judge: reads one history, and names each broken promise. Pure: it uses no log and no broker."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.faults.account import Account, Terms
from tests.faults.history import Record
from tests.faults.rules import LOST, RULES

SHOWN = 5
"""The number of cases that a breach names. It counts all cases."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken promise, the number of its cases, and a sample of them."""

    rule: str
    cases: int
    sample: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.cases} ({self.sample})"


def judge(history: Sequence[Record], terms: Terms) -> list[Breach]:
    """Return every broken promise. `history` is sorted by time and belongs to one ordeal."""
    account = Account(history, terms)
    found = ((rule, list(broken(account))) for rule, broken in RULES.items())
    return [Breach(rule, len(cases), "; ".join(cases[:SHOWN])) for rule, cases in found if cases]


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one ordeal, for a table: durations in seconds, and counts of events."""

    events: int
    deliveries: int
    repeats: int
    dead: int
    lost: int
    longest_defer: float
    longest_silence: float


def figures(history: Sequence[Record], terms: Terms) -> Figures:
    """Return the figures of an ordeal."""
    account = Account(history, terms)
    effects = [record["at"] for record in history if record["what"] == "effect"]
    return Figures(
        events=len(account.invoked),
        deliveries=sum(len(times) for rounds in account.attempts.values() for times in rounds.values()),
        repeats=sum(account.repeats.values()),
        dead=sum(len(numbers) for numbers in account.dead.values()),
        lost=len(list(RULES[LOST](account))),
        longest_defer=max(account.durations.values(), default=0.0),
        longest_silence=max((later - earlier for earlier, later in pairwise(effects)), default=0.0),
    )
