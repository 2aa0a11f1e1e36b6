"""Judges the ledger of dead letters for the doctor: the letters that wait for a person, and the records that cannot be
read. Pure: the clock is passed in.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from bridge.brokers.contract.findings import Finding, counted, ok, some, wrong
from bridge.console.quantities import duration_text
from bridge.event import UNKNOWN_TIME
from bridge.ledger import Dead, Entry, Skipped, open_letters, span

MANY = 10
"""From this number on, open dead letters are wrong: a person has to look."""


def of_ledger(entries: Sequence[Entry], now: datetime) -> Iterator[Finding]:
    """Yield the findings about a ledger with these entries."""
    yield dead_letters(open_letters(entries).values(), now)
    yield from _unreadable_records([entry for entry in entries if isinstance(entry, Skipped)])


def dead_letters(found: Collection[Dead], now: datetime) -> Finding:
    """Judge the open dead letters of a site."""
    if not found:
        return ok("dead letters", "none is open")
    sentence = f"{counted(len(found), 'dead letter')} without a decision"
    oldest, _ = span(letter.time for letter in found)
    if oldest != UNKNOWN_TIME:
        sentence += f", the oldest for {duration_text((now - oldest).total_seconds())}"
    if len(found) < MANY:
        return ok("dead letters", sentence)
    return wrong("dead letters", sentence, "bridge-dlq list; then bridge-dlq redrive, or discard")


def _unreadable_records(skipped: Sequence[Skipped]) -> Iterator[Finding]:
    if skipped:
        numbers = some([str(each.number) for each in skipped])
        records = "record does" if len(skipped) == 1 else "records do"
        sentence = f"{len(skipped)} {records} not count, by number {numbers}: {skipped[0].why}"
        yield wrong("ledger", sentence, "find out who may write to the ledger; bridge-dlq list has all reasons")
