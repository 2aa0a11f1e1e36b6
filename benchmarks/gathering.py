"""The results and failures of a run so far.

The report is written after each part, so that a later failure loses no results.
"""

import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from benchmarks import report
from benchmarks.contender import Contender
from benchmarks.figures import Figures
from benchmarks.report import Table
from benchmarks.scale import Scale

T = TypeVar("T")

PREFACE = """\
# Results

Written by `make bench`. Absolute figures do not carry from one machine to another; ratios carry better.

{machine}

Each worker drains {events:,} events with a handler that writes one record, in two processes. The contenders are \
measured by turns, in {rounds} round(s). A cell has the smallest, the median and the largest figure of the rounds, so \
a machine that changes meanwhile shows as a spread. "{ratio}" is this project's figure divided by the contender's, in \
each round; the two are measured on the same kind of broker. For events/s, above 1 is better; for all others, below 1.

The promises: a send is *confirmed* if it returns after the broker has the event. Quorum queues and durable classic \
queues write a message to the disk before they confirm it; *fsync* means the same of an SQLite file. A *whole Flask \
request* passes the app's `before_request`, dispatch and teardown in a process of the app; a *bare function* is called \
with its arguments. A contender named "confirming" is one above it with confirmed sends; only its sends are measured.
"""

WHY_KEPT = 300
"""The most characters of an error in the report. Standard error has the whole traceback."""


class Gathering:
    """The parts of one run. `file` is the report, which is rewritten after each part; None: the parts are only printed.
    `machine` are the lines about the machine, which callers may extend."""

    def __init__(self, file: Path | None, scale: Scale, machine: Mapping[str, str]) -> None:
        self._file = file
        self._scale = scale
        self.machine = dict(machine)
        self._results: dict[str, tuple[Contender, dict[int, Figures]]] = {}
        self._sections: list[str] = []
        self.failures: dict[str, str] = {}
        """By the name of a failed part: its error."""

    def attempt(self, name: str, work: Callable[[], T]) -> T | None:
        """Do a part of the run and return its result. If it raises, note the failure and return None."""
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            return work()
        except Exception as error:  # for example a peer or a server that is not installed; the other parts continue
            traceback.print_exc()
            self.failures[name] = _sentence(error)
            self._write()
            return None

    def add_contender(self, name: str, number: int, measure: Callable[[], tuple[Contender, Figures]]) -> None:
        """Measure a contender in the round of this number, and write the report so far."""
        measured = self.attempt(f"{name}, round {number}", measure)
        if measured is not None:
            contender, figures = measured
            self._results.setdefault(name, (contender, {}))[1][number] = figures
            self._write()

    def add_section(self, name: str, measure: Callable[[], Table]) -> None:
        """Measure a part with a table of its own, and write the report so far."""
        table = self.attempt(name, measure)
        if table is not None:
            self._sections.append(report.section(table))
            print(f"\n{self._sections[-1]}", flush=True)
            self._write()

    def print_contenders(self) -> None:
        """Print the tables of the contenders."""
        for table in report.tables(self._results):
            print(f"\n{report.section(table)}", flush=True)

    def markdown(self) -> str:
        """Return the report so far, with the failures at its end."""
        preface = PREFACE.format(
            machine="\n".join(f"- {what}: {value}" for what, value in self.machine.items()),
            events=self._scale.events,
            rounds=self._scale.rounds,
            ratio=report.RATIO,
        )
        contended = [report.section(table) for table in report.tables(self._results)]
        failed = [f"- {name}: {why}" for name, why in self.failures.items()]
        not_measured = ["## Not measured\n\n" + "\n".join(failed)] if failed else []
        return "\n\n".join([preface.strip(), *contended, *self._sections, *not_measured])

    def _write(self) -> None:
        if self._file is not None:
            self._file.write_text(self.markdown() + "\n", encoding="utf-8")


def _sentence(error: Exception) -> str:
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}"[:WHY_KEPT] if message else type(error).__name__
