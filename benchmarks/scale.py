"""The size of a run, which each part gets."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """`events` is the backlog of one drain, `rounds` how often each measurement is repeated by turns, `backlog` the
    number of events of the part about a long backlog."""

    events: int = 20_000
    rounds: int = 3
    backlog: int = 100_000
