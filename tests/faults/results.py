"""RESULTS.md: a row for each ordeal. What is run again takes the place of its own row, and the run is told of."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.ordeal import HELD

PATH = Path(__file__).with_name("RESULTS.md")

COLUMNS = (
    "fault",
    "on",
    "hurts",
    "events",
    "deliveries",
    "ran twice",
    "dead letters",
    "lost",
    "longest `defer()`",
    "longest silence",
    "verdict",
)
TITLE = "# What the faults came to"
EXPLAINED = """\
A wound that has a length is held open for 20 s. *Ran twice* counts events; what each hurt allows is in the history that
the judge reads. *Lost* leaves out what an operator deleted together with a queue. *Longest silence* is the longest time
without any event's effect."""


class Row(NamedTuple):
    """What came of one ordeal, as it is shown."""

    cells: Sequence[str]

    @property
    def ordeal(self) -> tuple[str, str]:
        """Which one it was: the fault, and the stage."""
        return self.cells[0], self.cells[1]

    def number(self, column: str) -> int:
        """Return the number in a column; 0 where the ordeal was not judged."""
        return int(self.cells[COLUMNS.index(column)].replace(",", "") or 0)

    def __str__(self) -> str:
        return f"| {' | '.join(self.cells)} |"


def read() -> tuple[list[str], list[Row]]:
    """Return the runs that the page tells of, and its rows."""
    lines = PATH.read_text().splitlines()
    runs = [line.removeprefix("- ") for line in lines if line.startswith("- `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return runs, [Row(row) for row in cells[1:]]


def write(runs: Sequence[str], rows: Sequence[Row]) -> None:
    """Write the page."""
    events, lost = (sum(row.number(column) for row in rows) for column in ("events", "lost"))
    broken = sum(row.cells[-1] != HELD for row in rows)
    said = f"{len(rows)} ordeals, {events:,} events, {lost} lost; {broken} ordeals that did not hold."
    table = "\n".join((str(Row(COLUMNS)), "|---" * len(COLUMNS) + "|", *map(str, rows)))
    told = "\n".join(f"- {run}" for run in runs)
    PATH.write_text(f"{TITLE}\n\n{said}\n\n{told}\n\n{EXPLAINED}\n\n{table}\n")
