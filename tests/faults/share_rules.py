"""The rules for priorities: which share of the runs each priority gets while events of all priorities wait.

A *stretch* is a time without a fault in which some events of every priority wait. Only counts of the runs that begin in
it are judged, so a slow machine breaks no rule. A queue takes 16 high, 4 normal and 1 low events; the rules allow about
half of that proportion.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

from tests.faults.account import Account

PRIORITIES = ("high", "normal", "low")

LEAST = 6
"""Events of each priority that wait in a stretch: more than a worker with two slots holds of a priority, so that it has
the choice."""

A_LOW_ONE = 42
"""Runs of which at least one must be of low priority, where one of 21 is expected. A shorter stretch proves nothing."""

TIMES, BUT = 1.5, 2
"""A priority has at least `TIMES` as many runs as the next lower one, less `BUT`, where four times as many are
expected."""

HURT = ""
"""In the timeline, instead of a priority."""


def _low_starved(account: Account) -> Iterable[str]:
    for runs in _stretches(account):
        if runs["low"] < runs.total() // A_LOW_ONE:
            yield f"{runs['low']} of {runs.total()} events were low ones"


def _not_urgent(account: Account) -> Iterable[str]:
    for runs in _stretches(account):
        for upper, lower in pairwise(PRIORITIES):
            if runs[upper] < TIMES * runs[lower] - BUT:
                yield f"{runs[upper]} {upper} and {runs[lower]} {lower} ones of {runs.total()} events"


def _stretches(account: Account) -> Iterator[Counter[str]]:
    """Yield the number of runs of each priority, for each stretch that is long enough to be judged."""
    waiting, runs = Counter[str](), Counter[str]()
    for _, priority, more in sorted(_timeline(account)):
        waiting[priority] += more
        runs[priority] += more < 0
        if priority == HURT or any(waiting[each] < LEAST for each in PRIORITIES):
            if runs.total() >= A_LOW_ONE:
                yield runs
            runs = Counter()
    if runs.total() >= A_LOW_ONE:
        yield runs


def _timeline(account: Account) -> Iterator[tuple[float, str, int]]:
    """Yield when the number of waiting events of a priority changes, and by how much; and each fault."""
    for key, begun in account.invoked.items():
        if "priority" in begun and key in account.ended:
            yield account.ended[key]["at"], begun["priority"], 1
        if "priority" in begun and key in account.attempts:
            yield min(map(min, account.attempts[key].values())), begun["priority"], -1
    for hurt in account.hurts:
        yield hurt["at"], HURT, 0


SHARE_RULES: Mapping[str, Callable[[Account], Iterable[str]]] = {
    "low events did not get their share": _low_starved,
    "less urgent events came before more urgent ones": _not_urgent,
}
