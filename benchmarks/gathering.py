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
from benchmarks.measure import PACE
from benchmarks.report import Table
from benchmarks.results import Result

T = TypeVar("T")

PREFACE = """\
# Results

Written by `make bench`. Absolute figures do not carry from one machine to another; ratios carry better.

{machine}

Each worker drains {events:,} events with a handler that writes one record: this project's handler runs in a full \
Flask request for each event, a peer's handler is a no-op task. Two processes run handlers. Latency is the time from \
just before an event is sent until its handler runs, at {pace} events a second. Sends are one after the other, from \
one thread. A contender named "confirming" is the one above it with confirmed sends; only its sends are measured.

{figures}

This project's figure divided by the peer's. For events/s, above 1 is better; for all others, below 1.

{ratios}
"""

WHY_KEPT = 300
"""The most characters of an error in the report. Standard error has the whole traceback."""


class Gathering:
    """The parts of one run. `file` is the report, which is rewritten after each part; None: the parts are only printed.
    `machine` are the lines about the machine, which callers may extend."""

    def __init__(self, file: Path | None, events: int, machine: Mapping[str, str]) -> None:
        self._file = file
        self._events = events
        self.machine = dict(machine)
        self._results: dict[str, tuple[Contender, Result]] = {}
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

    def add_contender(self, name: str, measure: Callable[[], tuple[Contender, Result]]) -> None:
        """Measure a contender, and write the report so far."""
        measured = self.attempt(name, measure)
        if measured is not None:
            self._results[name] = measured
            print(f"\n{report.markdown(report.table([measured]))}", flush=True)
            self._write()

    def add_section(self, name: str, measure: Callable[[], Table]) -> None:
        """Measure a part with a table of its own, and write the report so far."""
        table = self.attempt(name, measure)
        if table is not None:
            self._sections.append(report.section(table))
            print(f"\n{self._sections[-1]}", flush=True)
            self._write()

    def markdown(self) -> str:
        """Return the report so far, with the failures at its end."""
        preface = PREFACE.format(
            machine="\n".join(f"- {what}: {value}" for what, value in self.machine.items()),
            events=self._events,
            pace=PACE,
            figures=report.markdown(report.table(self._results.values())),
            ratios=report.markdown(report.ratios(self._results)),
        )
        failed = [f"- {name}: {why}" for name, why in self.failures.items()]
        return "\n\n".join(
            [preface.strip(), *self._sections, *(["## Not measured\n\n" + "\n".join(failed)] if failed else [])]
        )

    def _write(self) -> None:
        if self._file is not None:
            self._file.write_text(self.markdown() + "\n", encoding="utf-8")


def _sentence(error: Exception) -> str:
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}"[:WHY_KEPT] if message else type(error).__name__
