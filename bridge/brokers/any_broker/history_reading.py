"""Reads attempts from the log of the history, newest first, and no more of the log than a question needs."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import UUID

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.logs import Log
from bridge.config.settings import Settings
from bridge.config.values import HistorySettings
from bridge.history import Entry, Filter, entries_of
from bridge.site_logs import HISTORY

SLACK = timedelta(minutes=10)
"""The most by which the clocks of workers may differ. A search for younger attempts ends at one that is this much too
old."""

MOST_OF_AN_EVENT = 10_000
"""The most attempts that are read of one event or key: the newest ones."""


def history_of(broker: Broker, settings: Settings) -> Log:
    """Return the log of the history, also if the settings write none any more."""
    retention = settings.values.history.retention() or HistorySettings().retention()
    assert retention is not None, "the default keeps a history"
    return broker.log(HISTORY, retention)


async def newest(
    log: Log, wanted: Filter, most: int, is_seen: Callable[[Entry], bool] = lambda entry: True
) -> list[Entry]:
    """Return the newest attempts that the filter takes and that the caller sees, at most `most`, the oldest of them
    first."""

    def takes(entry: Entry) -> bool:
        return wanted.takes(entry) and is_seen(entry)

    found = [entry async for entry in _back(log, text_of(wanted), wanted.since, takes, most)]
    return _in_order(found)


async def of_event(log: Log, ending: str) -> list[Entry]:
    """Return the attempts of the events whose id ends with this text, oldest first."""

    def takes(entry: Entry) -> bool:
        return entry.id.endswith(ending)

    found = [entry async for entry in _back(log, ending, deferred_at(ending), takes, MOST_OF_AN_EVENT)]
    return _in_order(found)


async def oldest_time(log: Log) -> datetime | None:
    """Return the time of the oldest attempt in the history; None if it has none."""
    async with aclosing(log.read()) as records:
        async for record in records:
            for entry in entries_of(record.content):
                return entry.time
    return None


def deferred_at(event_id: str) -> datetime | None:
    """Return when an event was deferred, by its id; None if the id is not a UUIDv7, which has a time. The ids of other
    publishers may have a time that no calendar has."""
    try:
        value = UUID(event_id)
    except ValueError:
        return None
    if value.version != 7:
        return None
    try:
        return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


async def _back(
    log: Log, having: str, since: datetime | None, takes: Callable[[Entry], bool], most: int
) -> AsyncIterator[Entry]:
    """Yield attempts newest first, until there are `most`, or until they are older than `since`."""
    left = most
    async with aclosing(log.read_back(having)) as records:
        async for record in records:
            for entry in reversed(list(entries_of(record.content))):
                if since is not None and since - entry.time > SLACK:
                    return
                if takes(entry):
                    yield entry
                    left -= 1
                    if not left:
                        return


def text_of(wanted: Filter) -> str:
    """Return a text that every record with a wanted attempt has. The log skips other records without decoding them."""
    if wanted.key is not None:
        return wanted.key
    words = _literal_part(wanted.name) if wanted.name is not None else ""
    return words or wanted.end or wanted.queue or ""


def _literal_part(pattern: str) -> str:
    """Return the longest part of a pattern without wildcards, which every name that it matches contains."""
    parts = re.split(r"\.?[*#]\.?", pattern)
    return max(parts, key=len)


def _in_order(newest_first: list[Entry]) -> list[Entry]:
    """Return the attempts by time; those of one moment in the order in which they were written."""
    oldest_first = newest_first[::-1]
    oldest_first.sort(key=lambda entry: entry.time)
    return oldest_first
