"""The logs that every site has, as a table: their names, and the part of each that is kept. They are declared with the
queues."""

from dataclasses import dataclass
from datetime import timedelta

from bridge.logs import Retention


@dataclass(frozen=True, slots=True)
class SiteLog:
    """A log of a site."""

    name: str
    retention: Retention


CONTROLS = SiteLog("controls", Retention(size=4 * 1024**2))
"""The pauses, resumes and purges (`bridge.controls`). A limit of size alone never removes the newest records. 4 MiB are
some 10,000 records, which a worker reads in some seconds."""

CANCELLED_FOR = timedelta(days=30)
"""The time for which a cancellation is known. An event that is due later than that cannot be cancelled."""

CANCELLATIONS = SiteLog("cancellations", Retention(age=CANCELLED_FOR, size=64 * 1024**2))
"""The cancelled events (`bridge.cancellations`)."""

WORKERS = SiteLog("workers", Retention(age=timedelta(days=2), size=4 * 1024**2))
"""The starts and ends of workers (`bridge.registry`)."""

HISTORY = "history"
"""The name of the history (`bridge.history`), which every site has unless its settings keep none. What is kept of it
is a setting, so it is declared by the worker that writes it first."""

SCHEDULES = SiteLog("schedules", Retention(size=1024**2))
"""The moments of schedules that are decided (`bridge.schedule`). It is read, newest first, when another worker becomes
the scheduler. The scheduler appends the state of all schedules every day, so that the last record of a rare schedule is
not removed."""

FAILURES = SiteLog("failures", Retention(size=4 * 1024**2))
"""The decisions about groups of failures (`bridge.failures.states`): some 10,000, the newest ones."""

PLANS = SiteLog("plans", Retention(age=timedelta(days=90), size=64 * 1024**2))
"""The plans of redrives, with their letters and their progress (`bridge.plans`)."""

SITE_LOGS = (CONTROLS, CANCELLATIONS, WORKERS, SCHEDULES, FAILURES, PLANS)
