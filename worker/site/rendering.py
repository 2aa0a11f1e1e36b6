"""What `bridge-site` shows of the processes and of the schedules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from bridge.console.quantities import duration_text
from bridge.console.terminal import Column, print_table, print_text, terminal
from bridge.schedule import Schedule

_PROCESSES = (
    Column("process"),
    Column("state", narrow=True),
    Column("pid", right=True, narrow=True),
    Column("for", right=True, narrow=True),
    Column("restarts", right=True, narrow=True),
    Column("says"),
)
_SCHEDULES = (Column("schedule"), Column("event"), Column("when"), Column("next (UTC)"), Column("in", right=True))


@dataclass(frozen=True, slots=True)
class Planned:
    """A schedule, and its next moment; None if there is none any more."""

    schedule: Schedule
    moment: datetime | None

    def document(self) -> Mapping[str, object]:
        """Return it as an object of JSON. `catch_up` is in seconds."""
        schedule = self.schedule
        return {
            "name": schedule.name,
            "event": schedule.event,
            "cron": schedule.cron,
            "timezone": schedule.timezone,
            "words": schedule.words,
            "next": self.moment.isoformat() if self.moment is not None else None,
            "catch_up": schedule.catch_up.total_seconds(),
        }

    def row(self, now: datetime) -> tuple[str, ...]:
        """Return it as a row of the table."""
        schedule, moment = self.schedule, self.moment
        if moment is None:
            return schedule.name, schedule.event, schedule.words, "never", ""
        at, left = f"{moment:%Y-%m-%d %H:%M:%S}", _time((moment - now).total_seconds())
        return schedule.name, schedule.event, schedule.words, at, left


def print_schedules(found: Sequence[Planned], now: datetime) -> None:
    """Print the schedules as a table."""
    if not found:
        click.echo("there are no schedules")
        return
    print_table(terminal(), _SCHEDULES, [each.row(now) for each in found])


def print_site(pid: int, status: Mapping[str, Any]) -> None:
    """Print the status of the site that this process runs."""
    state = "ready" if status.get("ready") else status.get("trouble", "not ready")
    print_text(terminal(), f"site {pid}: {state}", "bold")
    print_table(terminal(), _PROCESSES, [_row(each) for each in status.get("processes", [])])


def processes_in_words(status: Mapping[str, Any]) -> str:
    """Return the state of each process in one line, with the number of its restarts if there were any."""
    found = []
    for each in status.get("processes", []):
        again = f" after {each['restarts']} restarts" if each["restarts"] else ""
        found.append(f"{each['name']} {each['state']}{again}")
    return ", ".join(found) or "bridge-site starting"


def _row(process: Mapping[str, Any]) -> tuple[str, ...]:
    pid = "" if process["pid"] is None else str(process["pid"])
    restarts = str(process["restarts"])
    return process["name"], process["state"], pid, _time(process["seconds"]), restarts, process["text"]


def _time(seconds: float) -> str:
    return duration_text(seconds, 1)
