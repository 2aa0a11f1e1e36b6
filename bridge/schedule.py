"""Schedules: the moments at which a site publishes an event, and which of them are due. Pure: the caller passes the
time.

A cron expression with `*` (or all 24 hours) in its hour field follows real time: an hour that the clock shows twice has
its moments twice, and a skipped hour has none, as the hours themselves. Any other expression follows the wall clock of
its time zone, as Debian's cron does: a moment within the skipped hour comes at the end of that hour, and a moment that
the clock shows twice comes the first time only.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from bridge.event import Event, format_time, parse_time
from bridge.logs import Content

CLAIM = "scheduler"
"""The claim whose holder publishes the events of all schedules of a site."""

LONGEST_CATCH_UP = timedelta(days=7)

CLOCK_ERROR = timedelta(days=1)
"""A clock that was set back by less than this runs no moment again. A clock set back further is taken to have been
wrong before: the schedule continues from now."""

_EVERY_HOUR = frozenset(range(24))
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Schedule:
    """A schedule: at each moment of `cron` in `timezone`, an event with this name and this JSON text is published.
    `catch_up` is the age up to which a missed moment is made up for."""

    name: str
    event: str
    cron: str
    timezone: str
    payload: bytes
    catch_up: timedelta

    @property
    def definition(self) -> str:
        """The text of the settings that decide the moments. If it changes, the schedule begins anew."""
        return f"{self.cron} {self.timezone}"

    @property
    def words(self) -> str:
        """The moments in English, such as "At 03:00 every day"."""
        return f"{CronSim(self.cron, _SOME_DAY).explain()} ({self.timezone})"

    def moments(self, after: datetime) -> Iterator[datetime]:
        """Yield the moments after this time, in UTC, in order, without end unless the cron expression has one."""
        cron, zone = self.cron, ZoneInfo(self.timezone)
        local = after.astimezone(zone)
        follows_real_time = CronSim(cron, _SOME_DAY).hours == _EVERY_HOUR
        # A naive time is no moment yet, so CronSim counts days and hours by the wall clock alone.
        found: Iterator[datetime] = CronSim(cron, local if follows_real_time else local.replace(tzinfo=None))
        last = after
        for each in found:
            moment = each.astimezone(UTC) if follows_real_time else _first_moment(each, zone)
            if moment > last:
                yield moment
                last = moment

    def event_at(self, moment: datetime, site: str, source: str) -> Event:
        """Return the event of a moment. Its time is the moment. Its id is derived from the site, the schedule and the
        moment, so that a second publish is recognised by it."""
        text = f"{site} {self.name} {format_time(moment)}"
        identity = str(uuid.uuid5(uuid.NAMESPACE_OID, text))
        return Event(identity, self.event, source, moment, "application/json", self.payload)


@dataclass(frozen=True, slots=True)
class Decided:
    """All moments of a schedule up to and including `through` are decided: published, or too old. `definition` is the
    schedule's at that time."""

    through: datetime
    definition: str


@dataclass(frozen=True, slots=True)
class Due:
    """The moments that are due, in order. `too_old` is the first of those that are too old to be made up for."""

    moments: tuple[datetime, ...]
    too_old: datetime | None = None


def due(schedule: Schedule, decided: Decided, now: datetime, at_most: int = 1000) -> Due:
    """Return the moments after those that are decided, up to `now`, at most `at_most` of them."""
    horizon = now - schedule.catch_up
    missed = next(schedule.moments(decided.through), None)
    too_old = missed if missed is not None and missed < horizon else None
    since = max(decided.through, horizon - timedelta(microseconds=1))  # a moment at the horizon is not too old
    until_now = takewhile(lambda moment: moment <= now, schedule.moments(since))
    return Due(tuple(islice(until_now, at_most)), too_old)


def begins_anew(schedule: Schedule, decided: Decided | None, now: datetime) -> bool:
    """Return True if nothing before `now` counts: the schedule is new or has changed, or the clock was far ahead."""
    return decided is None or decided.definition != schedule.definition or decided.through - now > CLOCK_ERROR


def record(name: str, decided: Decided) -> Content:
    """Return the record of what is decided, for the log."""
    return {"schedule": name, "through": format_time(decided.through), "definition": decided.definition}


def read_record(content: Content) -> tuple[str, Decided] | None:
    """Return the schedule's name and what is decided for it, by a record of the log; None if it cannot be read."""
    match content:
        case {"schedule": str(name), "through": str(through), "definition": str(definition)}:
            try:
                return name, Decided(parse_time(through), definition)
            except ValueError:
                return None
    return None


def check_cron(text: str) -> str:
    """Return a cron expression of five fields, or six with seconds first. Raise `ValueError` for any other text, and
    for an expression that has no moment."""
    try:
        if next(CronSim(text, _SOME_DAY), None) is not None:
            return text
    except CronSimError as error:
        raise ValueError(
            f"expected a cron expression of five fields, such as '0 3 * * *', or six with seconds first: {error}"
        ) from None
    raise ValueError("expected a cron expression that has a moment within 50 years")


def check_timezone(text: str) -> str:
    """Return the name of a time zone. Raise `ValueError` for any other text."""
    try:
        ZoneInfo(text)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError, and a directory is an OSError
        pass
    except KeyError:
        pass
    else:
        return text
    raise ValueError("expected the name of a time zone, such as 'Europe/Berlin' or 'UTC'")


def _first_moment(wall: datetime, zone: tzinfo) -> datetime:
    """Return the first moment at which the clock of the zone shows this time; if it skips it, the moment after."""
    while True:
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == wall:
            return moment
        wall = wall.replace(second=0) + timedelta(minutes=1)
