"""Plans of redrives: frozen sets of letters that are put back in growing steps, as records of a log. Pure.

The first step is the canary; each later one is twice as large. After each step the plan waits for what became of its
events, and ends if too many failed. Records of one plan have its id. All programs of the site read them, and any can
append a stop.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from bridge import json_fields as read
from bridge.attempt import cut_in_the_middle
from bridge.event import format_time
from bridge.ledger_keys import LedgerKeys
from bridge.logs import Content
from bridge.record_signatures import SIGNATURE, is_believed, signature_of

MAX_TEXT = 500
RANGES_A_RECORD = 1500
"""The most ranges of letters in one record, which then has some 45 KiB."""

SILENT_AFTER = timedelta(seconds=15)
"""A plan without an end whose process has recorded nothing for this time is interrupted."""

OTHERS_TOLERATED = 0.1
"""The part of a step's events that may fail with another error than before, if the plan names no other part."""

_KIND = "redrive plan"

PlanState = Literal["running", "interrupted", "stopping", "stopped", "aborted", "done"]
End = Literal["stopped", "aborted", "done"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan. `letters` are numbers of the ledger. `interval` is the least time in seconds between two letters. `wait`
    is the longest time in seconds that it waits after a step for what becomes of the step's events.

    `abort_over` is the part of a step's events that may fail, in whatever way. None: `OTHERS_TOLERATED`, and not one
    event may fail with the error that it died of.
    """

    id: str
    letters: tuple[int, ...]
    canary: int
    interval: float
    wait: float
    abort_over: float | None
    who: str
    why: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """The counts of a plan so far, of all its runs: letters put back, and what became of their events. `skipped` has
    the letters that stay open, of the last run."""

    redriven: int = 0
    skipped: int = 0
    delivered: int = 0
    failed: int = 0


@dataclass(slots=True)
class PlanStory:
    """A plan with what is recorded of it. `ended` is None if it runs, or if its process died."""

    plan: Plan
    progress: Progress = field(default_factory=Progress)
    last: datetime | None = None
    where: str = ""
    ended: End | None = None
    why: str = ""
    stop_wished: bool = False

    def state(self, now: datetime) -> PlanState:
        """Return the state of the plan."""
        if self.ended is not None:
            return self.ended
        if self.last is None or now - self.last > SILENT_AFTER:
            return "interrupted"
        return "stopping" if self.stop_wished else "running"


class Plans:
    """The fold of the log: each plan by its id, the oldest first. `skipped` counts the records that are damaged, of
    another kind, of a plan whose beginning the log does not hold any more, or not signed as they must be."""

    def __init__(self) -> None:
        self.skipped = 0
        self.stories: dict[str, PlanStory] = {}

    def add(self, content: Content, namespace: str, keys: LedgerKeys) -> None:
        """Add the next record of the log."""
        if not is_believed(content, _KIND, namespace, keys):
            self.skipped += 1
            return
        try:
            self._add(content)
        except (ValueError, KeyError):
            self.skipped += 1

    def _add(self, fields: Content) -> None:
        id, kind, time = read.exact_text(fields["plan"], MAX_TEXT), fields["kind"], read.time(fields["time"])
        if kind == "plan":
            self.stories[id] = PlanStory(_plan(id, fields, time), last=time)
            return
        story = self.stories[id]
        if kind == "letters":
            added = tuple(_numbers(read.items(fields["ranges"])))
            story.plan = _with_letters(story.plan, added)
        elif kind == "begin":
            story.ended, story.stop_wished, story.why, story.last = None, False, "", time
            story.where = read.cut_text(fields["where"], MAX_TEXT)
        elif kind == "progress":
            story.progress, story.last = _progress(fields), time
        elif kind == "stop":
            story.stop_wished, story.why = True, f"stopped by {read.cut_text(fields['who'], MAX_TEXT)}"
        elif kind in ("stopped", "aborted", "done"):
            story.ended, story.why, story.last = kind, read.cut_text(fields["why"], MAX_TEXT), time
        else:
            raise ValueError(f"expected a record of a plan, got {kind!r:.80}")


@dataclass(frozen=True, slots=True)
class PlanRecords:
    """Makes the records of plans of one namespace. With a key they are signed."""

    namespace: str
    keys: LedgerKeys

    def of_plan(self, plan: Plan) -> Iterator[Content]:
        """Yield the records of a new plan, to be appended in this order."""
        yield self._record(
            "plan",
            plan.id,
            plan.time,
            canary=plan.canary,
            interval=plan.interval,
            wait=plan.wait,
            abort_over=plan.abort_over,
            who=cut_in_the_middle(plan.who, MAX_TEXT),
            why=cut_in_the_middle(plan.why, MAX_TEXT),
        )
        ranges = list(_ranges(plan.letters))
        for start in range(0, len(ranges), RANGES_A_RECORD):
            yield self._record("letters", plan.id, plan.time, ranges=ranges[start : start + RANGES_A_RECORD])

    def begin(self, id: str, where: str, time: datetime) -> Content:
        """Return the record that a process begins to carry out a plan, or resumes it."""
        return self._record("begin", id, time, where=cut_in_the_middle(where, MAX_TEXT))

    def progress(self, id: str, progress: Progress, time: datetime) -> Content:
        """Return the record of the counts so far."""
        return self._record("progress", id, time, **asdict(progress))

    def stop(self, id: str, who: str, time: datetime) -> Content:
        """Return the record that somebody wants the plan to stop."""
        return self._record("stop", id, time, who=cut_in_the_middle(who, MAX_TEXT))

    def end(self, id: str, end: End, why: str, time: datetime) -> Content:
        """Return the record of the end of the plan."""
        return self._record(end, id, time, why=cut_in_the_middle(why, MAX_TEXT))

    def _record(self, kind: str, id: str, time: datetime, **fields: Any) -> Content:
        content = {"kind": kind, "plan": id, "time": format_time(time), **fields}
        return {**content, SIGNATURE: signature_of(content, _KIND, self.namespace, self.keys)} if self.keys else content


def step_sizes(canary: int) -> Iterator[int]:
    """Yield the sizes of the steps without end: the canary, then always twice as many."""
    while True:
        yield canary
        canary *= 2


def why_abort(plan: Plan, size: int, failed: int, reappeared: int) -> str:
    """Return why the plan must end, for people; empty if it goes on. Of a step of `size` events, `failed` failed, and
    of these `reappeared` with the error that an event of the plan had died of."""
    if plan.abort_over is None and reappeared:
        return f"the failure is back: {reappeared:,} of {size:,} events failed as before"
    most = OTHERS_TOLERATED if plan.abort_over is None else plan.abort_over
    if failed > most * size:
        return f"{failed:,} of {size:,} events failed, more than {most:.0%}"
    return ""


def story_to_json(story: PlanStory, now: datetime) -> dict[str, Any]:
    """Return a plan as a JSON object, without the numbers of its letters."""
    plan = story.plan
    return {
        "plan": plan.id,
        "state": story.state(now),
        "why_ended": story.why or None,
        "letters": len(plan.letters),
        **asdict(story.progress),
        "canary": plan.canary,
        "interval": plan.interval,
        "wait": plan.wait,
        "abort_over": plan.abort_over,
        "who": plan.who,
        "why": plan.why,
        "time": format_time(plan.time),
        "where": story.where or None,
        "last": story.last and format_time(story.last),
    }


def _ranges(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Yield the numbers, which rise, as ranges with both ends."""
    first = last = None
    for number in numbers:
        if last is not None and number == last + 1:
            last = number
            continue
        if first is not None and last is not None:
            yield [first, last]
        first = last = number
    if first is not None and last is not None:
        yield [first, last]


MOST_LETTERS = 10_000_000


def _numbers(ranges: Sequence[object]) -> Iterator[int]:
    left = MOST_LETTERS
    for each in ranges:
        first, last = map(read.number, read.items(each))
        left -= max(0, last - first + 1)
        if left < 0:
            raise ValueError(f"expected at most {MOST_LETTERS} letters in a record")
        yield from range(first, last + 1)


def _plan(id: str, fields: Content, time: datetime) -> Plan:
    over = fields.get("abort_over")
    return Plan(
        id=id,
        letters=(),
        canary=max(1, read.number(fields["canary"])),
        interval=read.seconds(fields["interval"], 1e6),
        wait=read.seconds(fields["wait"], 1e6),
        abort_over=None if over is None else read.seconds(over, 1.0),
        who=read.cut_text(fields["who"], MAX_TEXT),
        why=read.cut_text(fields["why"], MAX_TEXT),
        time=time,
    )


def _with_letters(plan: Plan, added: tuple[int, ...]) -> Plan:
    return replace(plan, letters=tuple(sorted({*plan.letters, *added})))


def _progress(fields: Content) -> Progress:
    return Progress(**{name: read.number(fields[name]) for name in ("redriven", "skipped", "delivered", "failed")})
