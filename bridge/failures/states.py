"""The states of groups of failures: the decisions about them, as records of a log, and the state that follows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from bridge import json_fields as read
from bridge.attempt import cut_in_the_middle
from bridge.event import UNKNOWN_TIME, format_time
from bridge.failures.groups import FailureGroup
from bridge.history import Entry
from bridge.ledger import Dead
from bridge.ledger_keys import LedgerKeys
from bridge.logs import Content
from bridge.record_signatures import SIGNATURE, is_believed, signature_of

MAX_TEXT = 500
"""The longest note, actor, title or release in characters; the middle of a longer one is cut."""

RATE_WINDOW = timedelta(hours=1)
"""The time in which failures are counted for the rate of a quiet group."""

Decided = Literal["known", "quiet", "fixed", "new"]
StateWord = Literal["new", "known", "quiet", "fixed", "reopened"]

_KIND = "failure group"


@dataclass(frozen=True, slots=True)
class GroupDecision:
    """The decision of a person about a group. `word` *new* takes back what was decided before.

    A *quiet* group is quiet until the time `until`, until it has `count` failures, or until it has more than `rate`
    failures within an hour, whichever comes first. A *fixed* group is fixed in `release`.
    """

    group: str
    word: Decided
    who: str
    time: datetime
    note: str = ""
    title: str = ""
    until: datetime | None = None
    count: int | None = None
    rate: int | None = None
    release: str | None = None


@dataclass(frozen=True, slots=True)
class GroupState:
    """The state of a group now. `why` is a sentence for people; `decision` is None if nothing was decided."""

    word: StateWord
    why: str = ""
    decision: GroupDecision | None = None

    @property
    def is_loud(self) -> bool:
        """False if the group needs no attention now."""
        return self.word not in ("quiet", "fixed")


class GroupDecisions:
    """The fold of the log: the last decision about each group. `skipped` counts the records that are damaged, of
    another kind, or not signed as they must be."""

    def __init__(self) -> None:
        self.skipped = 0
        self._by_group: dict[str, GroupDecision] = {}

    def add(self, content: Content, namespace: str, keys: LedgerKeys) -> None:
        """Add the next record of the log."""
        if not is_believed(content, _KIND, namespace, keys):
            self.skipped += 1
            return
        try:
            decision = _decision(content)
        except (ValueError, KeyError):
            self.skipped += 1
            return
        self._by_group[decision.group] = decision

    def of(self, group: str) -> GroupDecision | None:
        """Return the last decision about the group with this id; None if there is none."""
        return self._by_group.get(group)

    def groups(self) -> Mapping[str, GroupDecision]:
        """Return the last decision about each group, by its id."""
        return dict(self._by_group)


def state_of(
    group: FailureGroup, decision: GroupDecision | None, first_seen: Mapping[str, datetime], now: datetime
) -> GroupState:
    """Return the state of a group. `first_seen` has the time at which each release of the app was first seen anywhere.

    A group that was fixed in a release is reopened by a failure after the decision in that release, or in one that was
    first seen after it: workers with an older release may fail for some time.
    """
    if decision is None or decision.word == "new":
        return GroupState("new", "", decision)
    if decision.word == "known":
        return GroupState("known", decision.note, decision)
    if decision.word == "quiet":
        ended = _end_of_quiet(group, decision, now)
        return GroupState("reopened", ended, decision) if ended else GroupState("quiet", _quiet(decision), decision)
    seen = _seen_again(group, decision, first_seen)
    if seen:
        return GroupState("reopened", f"fixed in {decision.release}, but seen on {seen}", decision)
    return GroupState("fixed", f"in {decision.release}", decision)


def record_of(decision: GroupDecision, namespace: str, keys: LedgerKeys) -> Content:
    """Return the record of a decision. With a key it is signed."""
    content = fields_of(decision)
    return {**content, SIGNATURE: signature_of(content, _KIND, namespace, keys)} if keys else content


def fields_of(decision: GroupDecision) -> dict[str, Any]:
    """Return a decision as a JSON object."""
    return {
        "group": decision.group,
        "word": decision.word,
        "who": cut_in_the_middle(decision.who, MAX_TEXT),
        "time": format_time(decision.time),
        "note": cut_in_the_middle(decision.note, MAX_TEXT),
        "title": cut_in_the_middle(decision.title, MAX_TEXT),
        "until": decision.until and format_time(decision.until),
        "count": decision.count,
        "rate": decision.rate,
        "release": decision.release,
    }


def _end_of_quiet(group: FailureGroup, decision: GroupDecision, now: datetime) -> str:
    """Return why the group is not quiet any more; empty if it is."""
    if decision.until is not None and now >= decision.until:
        return f"was quiet until {_minute(decision.until)}"
    if decision.count is not None and group.count >= decision.count:
        return f"has {group.count:,} failures, was quiet until {decision.count:,}"
    if decision.rate is not None:
        times = [*(each.time for each in group.dead), *(each.time for each in group.retrying)]
        recent = sum(1 for time in times if time != UNKNOWN_TIME and now - time <= RATE_WINDOW)
        if recent > decision.rate:
            return f"has {recent:,} failures within an hour, was quiet up to {decision.rate:,}"
    return ""


def _quiet(decision: GroupDecision) -> str:
    limits = (
        decision.until and f"until {_minute(decision.until)}",
        decision.count is not None and f"until it has {decision.count:,} failures",
        decision.rate is not None and f"up to {decision.rate:,} failures in an hour",
    )
    return ", ".join(limit for limit in limits if limit)


def _seen_again(group: FailureGroup, decision: GroupDecision, first_seen: Mapping[str, datetime]) -> str:
    """Return the release because of which a fixed group is open again; empty if there is none."""
    fixed_in = first_seen.get(decision.release or "")
    failures: tuple[Dead | Entry, ...] = (*group.dead, *group.retrying)
    for failure in failures:
        release = failure.release
        if release is None or failure.time <= decision.time:
            continue
        seen = first_seen.get(release)
        if release == decision.release or (fixed_in is not None and seen is not None and seen > fixed_in):
            return release
    return ""


def _decision(fields: Content) -> GroupDecision:
    word = fields["word"]
    if word not in get_args(Decided):
        raise ValueError(f"expected {', '.join(get_args(Decided))}, got {word!r:.80}")
    return GroupDecision(
        group=read.exact_text(fields["group"], MAX_TEXT),
        word=word,
        who=read.cut_text(fields["who"], MAX_TEXT),
        time=read.time(fields["time"]),
        note=read.cut_text(fields.get("note", ""), MAX_TEXT),
        title=read.cut_text(fields.get("title", ""), MAX_TEXT),
        until=read.optional(read.time, fields.get("until")),
        count=read.optional(read.number, fields.get("count")),
        rate=read.optional(read.number, fields.get("rate")),
        release=read.optional(lambda text: read.exact_text(text, MAX_TEXT), fields.get("release")),
    )


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
