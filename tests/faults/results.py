"""Reads and writes a table of results: a row for each ordeal, and a line for each run. A repeated ordeal replaces its
row. RESULTS.md is for the RabbitMQ of Debian 12; another build has a table of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.ordeal import HELD
from tests.faults.stage import BUDGET
from tests.faults.tolerances import GRACE

TABLE = Path(__file__).with_name("RESULTS.md")

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
TITLE = "# Results of the faults"
EXPLAINED = f"""\
*Hurts* is how many times the fault was done; a fault that lasts, lasts 20 s. *Ran twice* counts events; the history
that the judge reads has the number that each fault may cause. *Lost* does not count messages that an operator deleted
with a queue. *Longest `defer()`* is by the clock: it includes the time for which the publisher had no CPU on a busy
machine, or was stopped by the fault. The promise is broken by a `defer()` that takes, without such a time, more than
`publish_timeout` ({BUDGET:g} s) and {GRACE:g} s. *Longest silence* is the longest time in which no event had an
effect."""


class Row(NamedTuple):
    """The row of one ordeal."""

    cells: Sequence[str]

    @property
    def ordeal(self) -> tuple[str, str]:
        """The fault and the stage."""
        return self.cells[0], self.cells[1]

    def number(self, column: str) -> int:
        """Return the number in a column; 0 if the ordeal was not judged."""
        return int(self.cells[COLUMNS.index(column)].replace(",", "") or 0)

    def __str__(self) -> str:
        return f"| {' | '.join(self.cells)} |"


def read(table: Path) -> tuple[list[str], list[Row]]:
    """Return the lines about the runs, and the rows. A missing table has none."""
    lines = table.read_text().splitlines() if table.exists() else []
    runs = [line.removeprefix("- ") for line in lines if line.startswith("- `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return runs, [Row(row) for row in cells[1:]]


def write(file: Path, runs: Sequence[str], rows: Sequence[Row]) -> None:
    """Write the table into this file."""
    events, lost = (sum(row.number(column) for row in rows) for column in ("events", "lost"))
    broken = sum(row.cells[-1] != HELD for row in rows)
    totals = f"{len(rows)} ordeals, {events:,} events, {lost} lost; {broken} ordeals with a broken promise."
    table = "\n".join((str(Row(COLUMNS)), "|---" * len(COLUMNS) + "|", *map(str, rows)))
    commands = "\n".join(f"- {run}" for run in runs)
    file.write_text(f"{TITLE}\n\n{totals}\n\n{commands}\n\n{EXPLAINED}\n\n{table}\n")
