"""Groups of failures as text for people, and as JSON documents."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bridge.console.terminal import Column, print_table, print_text
from bridge.event import UNKNOWN_TIME
from bridge.failures.groups import FailureGroup
from bridge.failures.in_common import Sample, in_common
from dead_letter.rendering import age, time_to_json

_COLUMNS = (
    Column("group", narrow=True),
    Column("dead", right=True, narrow=True),
    Column("retrying", right=True, narrow=True),
    Column("first", right=True, narrow=True),
    Column("last", right=True, narrow=True),
    Column("error"),
)


def print_group_rows(console: Console, groups: Iterable[tuple[FailureGroup, Sample]], now: datetime) -> None:
    """Print a table of the groups, then for each what its members have in common."""
    shown = list(groups)
    rows = (
        (
            group.id,
            f"{len(group.dead):,}",
            f"{len(group.retrying):,}",
            *(age(time, now) for time in group.first_and_last),
            group.fingerprint.title,
        )
        for group, _ in shown
    )
    print_table(console, _COLUMNS, rows)
    console.print()
    for group, sample in shown:
        print_text(console, f"{group.id}: {in_common(group, sample)}")


def retrying_line(since: datetime) -> str:
    """Return what people must know if not all of the history was read."""
    when = since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"Retrying counts the events that were attempted since {when}; the history has older attempts."


def group_document(group: FailureGroup, sample: Sample) -> dict[str, Any]:
    """Return a group as a JSON object."""
    first, last = group.first_and_last
    return {
        "group": group.id,
        "title": group.fingerprint.title,
        "error": {"type": group.fingerprint.type, "message": group.fingerprint.template},
        "place": group.fingerprint.place or None,
        "dead": {"count": len(group.dead), "newest": group.dead[-1].number if group.dead else None},
        "retrying": {"count": len(group.retrying), "due": group.next_attempt and time_to_json(group.next_attempt)},
        "first": None if first == UNKNOWN_TIME else time_to_json(first),
        "last": None if last == UNKNOWN_TIME else time_to_json(last),
        "queues": dict(group.queues),
        "events": dict(group.events),
        "releases": {name or "": count for name, count in group.releases.items()},
        "sources": dict(sample.sources),
        "payload_keys": dict(sample.keys),
        "sampled": sample.size,
        "in_common": in_common(group, sample),
    }
