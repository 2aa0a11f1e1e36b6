"""Judges a site's contents of the database: its queues, their consumers, waiting events, the clock. Only reads."""

import json
import shlex
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from bridge.brokers.any_broker.ledger_findings import of_ledger
from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.contract.findings import Finding, counted, ok, some, unknown, wrong
from bridge.brokers.contract.inspection import SiteOnBroker
from bridge.brokers.contract.ledger import BEFORE_ALL
from bridge.brokers.sqlite.inspection.file_findings import consumers
from bridge.brokers.sqlite.queues.counting import Counting
from bridge.brokers.sqlite.queues.decoding import Taken, read, stored
from bridge.brokers.sqlite.queues.routing import Routing
from bridge.brokers.sqlite.queues.row import COME_DUE, CONTENT, now_microseconds
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.ledger import Skipped
from bridge.local_database.ledger_table import LedgerTable, microseconds
from bridge.queues import Queue

LATE = timedelta(minutes=5)
"""An event that has been due for longer, without a consumer taking it, is a problem."""

CLOCKS_AGREE_WITHIN = timedelta(seconds=5)
_SECOND = 1_000_000


def contents(connection: sqlite3.Connection, path: Path, schema: Schema, site: SiteOnBroker) -> Iterator[Finding]:
    """Yield the findings about a site's contents of the database."""
    backlog = Counting(schema, Routing(schema)).backlog(connection)
    declared = dict(connection.execute(f"SELECT name, patterns FROM {schema.queue}").fetchall())
    service = Service.of(consumers(path), site.served)
    yield from topology(schema, path, site.queues, declared, backlog, service)
    yield from taking(service, [queue.name for queue in site.queues], backlog)
    oldest = connection.execute(
        f"SELECT min(iif(due < 0, due + {COME_DUE}, due)) FROM {schema.event}"
        f" LEFT JOIN {schema.delivery} USING (number)"
        " WHERE queue NOTNULL AND owner ISNULL"
    ).fetchone()[0]
    yield waiting(backlog, oldest, now_microseconds())
    yield clock(_newest(connection, schema), now_microseconds())
    entries = list(LedgerTable(connection, schema.ledger_name).entries(BEFORE_ALL))
    yield from of_ledger(entries, datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Service:
    """The processes that consume, the queues that they are known to serve, and the processes of which that is unknown:
    those of other users and containers."""

    processes: Sequence[str]
    queues: frozenset[str]
    unknown: Sequence[str]

    @classmethod
    def of(cls, processes: Sequence[str], served: Mapping[int, frozenset[str]]) -> Self:
        """Return the service of these processes, of which `served` knows the queues of some."""
        known = {str(pid): queues for pid, queues in served.items()}
        queues = frozenset(queue for process in processes for queue in known.get(process, ()))
        return cls(processes, queues, [process for process in processes if process not in known])


def topology(
    schema: Schema,
    path: Path,
    queues: Sequence[Queue],
    declared: Mapping[str, str],
    backlog: Mapping[str, Backlog],
    service: Service,
) -> Iterator[Finding]:
    """Compare the queues in the database with those in the settings."""
    expected = {queue.name: json.dumps(queue.patterns) for queue in queues}
    differing = [name for name, patterns in expected.items() if declared.get(name) != patterns]
    if differing:
        sentence = f"not declared, or with other patterns: {some(differing)}"
        yield wrong("topology", sentence, "start the app or bridge-worker with these settings, which declare them")
    for name in sorted(declared.keys() - expected.keys()):
        events = backlog[name].ready + backlog[name].held + backlog[name].waiting
        if events or declared[name] != "[]":
            yield _not_in_settings(schema, path, name, declared[name], events, service)
    if not differing:
        yield ok("topology", f"declared: {some(sorted(expected), 10)}")


def _not_in_settings(schema: Schema, path: Path, name: str, patterns: str, events: int, service: Service) -> Finding:
    found = f"queue {name} is not in the settings, takes {patterns} and holds {counted(events, 'event')}"
    if name in service.queues:
        return ok("topology", f"{found}; a worker with other settings serves it")
    serve = f"[queues.{name}] in bridge.toml"
    if service.unknown:
        step = f"bridge-status as the user of that process; if it does not serve {name}: {serve}"
        return unknown("topology", f"{found}; whether process {some(service.unknown)} serves it is unknown", step)
    remove = shlex.join(["sqlite3", str(path), f"DELETE FROM {schema.queue} WHERE name = '{name}'"])
    return wrong("topology", f"left over: {found}", f"{serve}; or, when it is empty: {remove}")


def taking(service: Service, queues: Sequence[str], backlog: Mapping[str, Backlog]) -> Iterator[Finding]:
    """Judge whether each queue of the settings has a consumer."""
    step = "start bridge-worker with these settings"
    if not service.processes:
        ready = sum(each.ready for each in backlog.values())
        yield wrong("consumers", f"no consumer; {counted(ready, 'event')} ready", step)
        return
    for queue in queues:
        if queue not in service.queues and not service.unknown:
            ready = backlog[queue].ready if queue in backlog else 0
            yield wrong("consumers", f"queue {queue} has no consumer and holds {counted(ready, 'event')}", step)
    held = sum(each.held for each in backlog.values())
    consumers = f"{len(service.processes)} (process {some(service.processes, 10)})"
    yield ok("consumers", f"{consumers}, holding {counted(held, 'event')}")


def waiting(backlog: Mapping[str, Backlog], oldest: int | None, now: int) -> Finding:
    """Judge the waiting events. `oldest`: the due time of the oldest one, in microseconds since 1970."""
    ready = [f"{queue} {each.ready}" for queue, each in backlog.items() if each.ready]
    later = sum(each.waiting for each in backlog.values())
    since = timedelta(microseconds=max(now - oldest, 0)) if oldest is not None else timedelta()
    sentence = f"ready: {some(ready, 10) or 'nothing'}; {later} wait for their time"
    if ready:
        sentence += f"; the oldest has been due for {since.total_seconds():.0f} s"
    if since < LATE:
        return ok("waiting", sentence)
    return wrong("waiting", sentence, "see with bridge-status what the workers do; SIGTTIN starts more children")


def clock(newest: int | None, now: int) -> Finding:
    """Judge the clock by the time of the newest event or dead letter; both in microseconds since 1970."""
    ahead = 0 if newest is None else newest - now
    if ahead <= CLOCKS_AGREE_WITHIN / timedelta(microseconds=1):
        return ok("clock", "nothing in the file is from the future")
    sentence = f"the newest event or dead letter is from {ahead // _SECOND} s in the future: the clock was set back"
    return wrong("clock", sentence, "date; timedatectl set-ntp true")


def _newest(connection: sqlite3.Connection, schema: Schema) -> int | None:
    """Return the time of the newest event or dead letter, in microseconds since 1970; None if there is none."""
    times = []
    newest = f"SELECT queue, number, retries, 0, {CONTENT} FROM {{}} ORDER BY number DESC LIMIT 1"
    for row in connection.execute(newest.format(schema.event)):
        found = read(stored(*row))
        times += [microseconds(found.envelope.event.time)] if isinstance(found, Taken) else []
    ledger = LedgerTable(connection, schema.ledger_name)
    last = ledger.last_number()
    newest_entries = ledger.entries(last - 1) if last is not None else ()
    times += [microseconds(entry.time) for entry in newest_entries if not isinstance(entry, Skipped)]
    return max(times, default=None)
