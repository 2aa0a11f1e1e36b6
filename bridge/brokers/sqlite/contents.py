"""What a site has in its file, judged: its queues, who takes from them, what waits, the clock. It only reads."""

import json
import shlex
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from bridge.brokers.contract import Backlog
from bridge.brokers.sqlite.events import COME_DUE, CONTENT, Events, now_microseconds
from bridge.brokers.sqlite.file_system import consumers
from bridge.brokers.sqlite.ledger_table import LedgerTable, microseconds
from bridge.brokers.sqlite.reading import Taken, read, stored
from bridge.brokers.sqlite.routing import Routing
from bridge.brokers.sqlite.schema import Schema
from bridge.findings import Finding, counted, ok, some, wrong
from bridge.queues import Queue

LATE = timedelta(minutes=5)
"""An event that is due for so long, and that nobody has taken, is told of."""

CLOCKS_AGREE_WITHIN = timedelta(seconds=5)
_SECOND = 1_000_000


def contents(connection: sqlite3.Connection, path: Path, schema: Schema, queues: Sequence[Queue]) -> Iterator[Finding]:
    """Yield what is to be said."""
    backlog = Events(schema, Routing(schema)).backlog(connection)
    declared = dict(connection.execute(f"SELECT name, patterns FROM {schema.queue}").fetchall())
    yield from topology(schema, path, queues, declared, backlog)
    yield taking(consumers(path), backlog)
    oldest = connection.execute(
        f"SELECT min(iif(due < 0, due + {COME_DUE}, due)) FROM {schema.event}"
        f" LEFT JOIN {schema.delivery} USING (number)"
        " WHERE queue NOTNULL AND owner ISNULL"
    ).fetchone()[0]
    yield waiting(backlog, oldest, now_microseconds())
    yield clock(_newest(connection, schema), now_microseconds())


def topology(
    schema: Schema, path: Path, queues: Sequence[Queue], declared: Mapping[str, str], backlog: Mapping[str, Backlog]
) -> Iterator[Finding]:
    """Judge the queues of the file by those of the settings."""
    expected = {queue.name: json.dumps(queue.patterns) for queue in queues}
    if differing := [name for name, patterns in expected.items() if declared.get(name) != patterns]:
        sentence = f"not declared, or with other patterns: {some(differing)}"
        yield wrong("topology", sentence, "start the app or bridge-worker with these settings, which declare them")
    for name in declared.keys() - expected.keys():
        events = backlog[name].ready + backlog[name].held + backlog[name].waiting
        if events or declared[name] != "[]":
            sentence = (
                f"left over: queue {name} is not in the settings, takes {declared[name]} and holds "
                f"{counted(events, 'event')}"
            )
            remove = shlex.join(["sqlite3", str(path), f"DELETE FROM {schema.queue} WHERE name = '{name}'"])
            yield wrong("topology", sentence, f"[queues.{name}] in bridge.toml; or, when it is empty: {remove}")
    if declared == expected:
        yield ok("topology", f"declared: {some(sorted(declared), 10)}")


def taking(living: Sequence[str], backlog: Mapping[str, Backlog]) -> Finding:
    """Judge whether somebody takes events. `living` are the processes that do."""
    if living:
        held = sum(each.held for each in backlog.values())
        return ok("consumers", f"{len(living)} (process {some(living, 10)}), holding {counted(held, 'event')}")
    ready = sum(each.ready for each in backlog.values())
    step = "start bridge-worker with these settings"
    return wrong("consumers", f"nobody takes events; {counted(ready, 'event')} ready", step)


def waiting(backlog: Mapping[str, Backlog], oldest: int | None, now: int) -> Finding:
    """Judge what waits. `oldest`: when what waits longest was due; microseconds since 1970."""
    ready = [f"{queue} {each.ready}" for queue, each in backlog.items() if each.ready]
    later = sum(each.waiting for each in backlog.values())
    since = timedelta(microseconds=max(now - oldest, 0)) if oldest is not None else timedelta()
    sentence = f"ready: {some(ready, 10) or 'nothing'}; {later} wait for their time"
    if ready:
        sentence += f"; the oldest is due for {since.total_seconds():.0f} s"
    if since < LATE:
        return ok("waiting", sentence)
    return wrong("waiting", sentence, "bridge-status: what do the workers do? More children take more (SIGTTIN)")


def clock(newest: int | None, now: int) -> Finding:
    """Judge the clock by the newest thing in the file; both in microseconds since 1970."""
    ahead = 0 if newest is None else newest - now
    if ahead <= CLOCKS_AGREE_WITHIN / timedelta(microseconds=1):
        return ok("clock", "nothing in the file is from the future")
    sentence = f"the newest event or dead letter is from {ahead // _SECOND} s in the future: the clock was set back"
    return wrong("clock", sentence, "date; timedatectl set-ntp true")


def _newest(connection: sqlite3.Connection, schema: Schema) -> int | None:
    """Return when the newest event was deferred, or the newest dead letter died; microseconds since 1970."""
    times = []
    newest = f"SELECT queue, number, retries, 0, {CONTENT} FROM {{}} ORDER BY number DESC LIMIT 1"
    for row in connection.execute(newest.format(schema.event)):
        found = read(stored(*row))
        times += [microseconds(found.envelope.event.time)] if isinstance(found, Taken) else []
    ledger = LedgerTable(connection, schema.ledger_name)
    last = ledger.last_number()
    times += [microseconds(entry.time) for entry in ledger.entries(last - 1)] if last is not None else []
    return max(times, default=None)
