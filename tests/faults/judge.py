"""The judge: reads one history, and names each breach of the promises. Pure; it has never seen a log or a broker.

A *key* names an event to the judge: the publisher gives it before `defer()`, so that it is known even of an event that
nobody confirmed. A *copy* of an event is a second message of it, made where a publish was repeated.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.faults.history import Record

GRACE = 0.25
"""Seconds beyond its budget after which a `defer()` counts as hung."""

EARLY = 0.02
"""Seconds by which two processes may read the clock apart from what they tell: a note is written before the work."""

SHOWN = 5
"""Keys that a breach names; it counts them all."""

ENDINGS = ("ok", "fail", "unknown")

LOST = "confirmed, and neither effected nor in the ledger"


@dataclass(frozen=True, slots=True)
class Terms:
    """What was promised in this ordeal: `attempts` and the `waits` between them by the queue's policy, `budget` seconds
    for each `defer()`. `timed` is whether the waits can be judged: not where the broker's own clock was moved.
    `refusing` is whether `defer()` may raise: not where there is a spool."""

    attempts: int
    waits: Sequence[float]
    budget: float
    timed: bool = True
    refusing: bool = True


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was broken, in how many cases, and some of them."""

    rule: str
    cases: int
    sample: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.cases} ({self.sample})"


def judge(history: Sequence[Record], terms: Terms) -> list[Breach]:
    """Return every breach of the promises. The history is in the order of its time, and of one ordeal."""
    ordeal = _Ordeal(history, terms)
    found = ((rule, list(broken(ordeal))) for rule, broken in RULES.items())
    return [Breach(rule, len(cases), "; ".join(cases[:SHOWN])) for rule, cases in found if cases]


@dataclass(frozen=True, slots=True)
class Figures:
    """An ordeal in figures, for a table: seconds, and counts of events."""

    events: int
    deliveries: int
    repeats: int
    dead: int
    lost: int
    unknown: int
    longest_defer: float
    longest_silence: float


def figures(history: Sequence[Record], terms: Terms) -> Figures:
    """Return the figures of an ordeal."""
    ordeal = _Ordeal(history, terms)
    effects = [record["at"] for record in history if record["what"] == "effect"]
    return Figures(
        events=len(ordeal.invoked),
        deliveries=sum(len(times) for rounds in ordeal.attempts.values() for times in rounds.values()),
        repeats=sum(ordeal.repeats.values()),
        dead=sum(len(numbers) for numbers in ordeal.dead.values()),
        lost=len(list(_lost(ordeal))),
        unknown=len(ordeal.unknown),
        longest_defer=max(ordeal.durations.values(), default=0.0),
        longest_silence=max((later - earlier for earlier, later in pairwise(effects)), default=0.0),
    )


class _Ordeal:
    """The history by key."""

    def __init__(self, history: Iterable[Record], terms: Terms) -> None:
        self.terms = terms
        self.invoked: dict[str, Record] = {}
        self.ended: dict[str, Record] = {}
        self.attempts: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.over: dict[tuple[str, int], list[float]] = defaultdict(list)
        """When the attempts of a number were over: where nothing else is known, as of a crash, when they began."""
        self._running: dict[tuple[str, int, int], int] = {}
        self.effects: Counter[str] = Counter()
        self.dead: dict[str, list[int]] = defaultdict(list)
        self.decided: dict[int, str] = {}
        self.hurts: list[Record] = []
        self.drained: list[Record] = []
        self.checked: list[str] = []
        for record in history:
            self._enter(record)
        self.unknown = {key for key in self.invoked if self.ended.get(key, {"what": "unknown"})["what"] == "unknown"}
        self.durations = {key: end["at"] - self.invoked[key]["at"] for key, end in self.ended.items()}
        self.repeats = (
            Counter({key: max(map(len, numbered.values())) - 1 for key, numbered in self.attempts.items()}) + Counter()
        )  # only what is above nothing

    def _enter(self, record: Record) -> None:
        match record["what"]:
            case "invoke":
                self.invoked[record["key"]] = record
            case "ok" | "fail" | "unknown":
                self.ended[record["key"]] = record
            case "attempt":
                self._begin(record)
            case "failure":
                self._fail(record)
            case "effect":
                self.effects[record["key"]] += 1
            case "dead":
                self.dead[record["key"]].append(record["number"])
            case "redriven" | "discarded" as decision:
                self.decided[record["number"]] = decision
            case "hurt":
                self.hurts.append(record)
            case "drained":
                self.drained.append(record)
            case "checked":
                self.checked.append(record["said"])

    def _begin(self, record: Record) -> None:
        key, number, at = record["key"], record["attempt"], record["at"]
        self.attempts[key][number].append(at)
        self._running[key, number, record["pid"]] = len(self.over[key, number])
        self.over[key, number].append(at)

    def _fail(self, record: Record) -> None:
        key, number = record["key"], record["attempt"]
        self.over[key, number][self._running[key, number, record["pid"]]] = record["at"]

    def allowed(self, what: str) -> int:
        """Return how many of it the hurts may have caused."""
        return sum(hurt.get(what, 0) for hurt in self.hurts)

    def in_the_ledger(self, key: str) -> bool:
        """Tell whether a letter of it is kept: undecided, or let go by a person."""
        return any(self.decided.get(number) != "redriven" for number in self.dead.get(key, ()))

    def redriven(self, key: str) -> int:
        """Return how many letters of it were redriven, and so how often it was asked to run again."""
        return sum(self.decided.get(number) == "redriven" for number in self.dead.get(key, ()))

    def stopped(self, pid: int, since: float, until: float) -> bool:
        """Tell whether a process was itself stopped in a time."""
        return any(
            pid in hurt.get("stopped", ()) and hurt["at"] - hurt.get("lasted", 0.0) <= until and since <= hurt["at"]
            for hurt in self.hurts
        )

    def was_killed(self, pid: int) -> bool:
        """Tell whether a process was killed."""
        return any(pid in hurt.get("killed", ()) for hurt in self.hurts)


def _lost(ordeal: _Ordeal) -> Iterable[str]:
    confirmed = (key for key, end in ordeal.ended.items() if end["what"] == "ok")
    lost = [key for key in confirmed if not ordeal.effects[key] and not ordeal.in_the_ledger(key)]
    if len(lost) > ordeal.allowed("losses"):
        yield from lost


def _both(ordeal: _Ordeal) -> Iterable[str]:
    both = [key for key in ordeal.dead if ordeal.effects[key] and ordeal.in_the_ledger(key)]
    if len(both) > ordeal.allowed("repeats") + ordeal.allowed("copies") + len(ordeal.unknown):
        yield from both


def _invented(ordeal: _Ordeal) -> Iterable[str]:
    yield from (key for key in (ordeal.effects.keys() | ordeal.dead.keys()) if key not in ordeal.invoked)


def _denied(ordeal: _Ordeal) -> Iterable[str]:
    failed = (key for key, end in ordeal.ended.items() if end["what"] == "fail")
    yield from (key for key in failed if key in ordeal.attempts or key in ordeal.dead)


def _early(ordeal: _Ordeal) -> Iterable[str]:
    if not ordeal.terms.timed:
        return
    for key, numbered in ordeal.attempts.items():
        delay = ordeal.invoked.get(key, {}).get("delay") or 0.0
        if delay and (waited := min(map(min, numbered.values())) - ordeal.invoked[key]["at"]) < delay - EARLY:
            yield f"{key}: deferred by {delay:g} s, and came {waited:.3f} s after it was invoked"
        for number, times in numbered.items():
            if 1 < number <= len(ordeal.terms.waits) + 1 and number - 1 in numbered:
                waited = min(times) - min(ordeal.over[key, number - 1])
                if waited < ordeal.terms.waits[number - 2] - EARLY:
                    yield f"{key}: attempt {number} came {waited:.3f} s after attempt {number - 1} failed"


def _out_of_order(ordeal: _Ordeal) -> Iterable[str]:
    unseen: list[str] = []
    for key, numbered in ordeal.attempts.items():
        for number, times in numbered.items():
            if number > 1 and number - 1 not in numbered:
                unseen.append(f"{key}: attempt {number} without attempt {number - 1}")
            elif number > 1 and min(numbered[number - 1]) > min(times):
                yield f"{key}: attempt {number} before attempt {number - 1}"
    if len(unseen) > ordeal.allowed("unseen"):
        yield from unseen


def _too_many(ordeal: _Ordeal) -> Iterable[str]:
    crashes = sum(bool(hurt.get("repeats")) for hurt in ordeal.hurts)
    for key, numbered in ordeal.attempts.items():
        copies = ordeal.allowed("copies") + (key in ordeal.unknown)
        rounds = 1 + ordeal.redriven(key)
        made = sum(map(len, numbered.values()))
        if made > ordeal.terms.attempts * rounds * (1 + crashes + copies):
            yield f"{key}: {made} attempts"
        elif max(numbered) > ordeal.terms.attempts:
            yield f"{key}: attempt number {max(numbered)}"


def _repeated(ordeal: _Ordeal) -> Iterable[str]:
    repeats = Counter({key: again - ordeal.redriven(key) for key, again in ordeal.repeats.items()}) + Counter()
    allowed = ordeal.allowed("repeats") + ordeal.allowed("copies") + len(ordeal.unknown)
    if repeats.total() > allowed:
        yield f"{repeats.total()} events ran twice, at most {allowed} were in flight when something was hurt"
        yield from repeats.keys()


def _slow(ordeal: _Ordeal) -> Iterable[str]:
    for key, took in ordeal.durations.items():
        begun, end = ordeal.invoked[key], ordeal.ended[key]
        if took > ordeal.terms.budget + GRACE and not ordeal.stopped(begun["pid"], begun["at"], end["at"]):
            yield f"{key}: {took:.2f} s of {ordeal.terms.budget:g}"


def _hung(ordeal: _Ordeal) -> Iterable[str]:
    for key, begun in ordeal.invoked.items():
        if key not in ordeal.ended and not ordeal.was_killed(begun["pid"]):
            yield key


def _refused(ordeal: _Ordeal) -> Iterable[str]:
    if not ordeal.terms.refusing:
        refused = ((key, end) for key, end in ordeal.ended.items() if end["what"] != "ok")
        yield from (f"{key}: {end.get('error')}" for key, end in refused)


def _left_over(ordeal: _Ordeal) -> Iterable[str]:
    if not ordeal.drained:
        yield "nobody looked"
        return
    for what, left in ordeal.drained[-1].items():
        if what not in ("what", "at") and left:
            yield f"{what}: {left}"


def _damaged(ordeal: _Ordeal) -> Iterable[str]:
    yield from (said for said in ordeal.checked if said != "ok")


RULES: Mapping[str, Callable[[_Ordeal], Iterable[str]]] = {
    LOST: _lost,
    "effected and in the ledger as well": _both,
    "effected or dead without an invoke": _invented,
    "said to be unpublished, and ran": _denied,
    "ran before its time": _early,
    "attempts out of the policy's order": _out_of_order,
    "more attempts than the policy and the hurts allow": _too_many,
    "ran twice more often than the hurts allow": _repeated,
    "defer() took longer than its budget": _slow,
    "a request never ended": _hung,
    "refused although there is a spool": _refused,
    "left over after the drain": _left_over,
    "a broker's file is damaged": _damaged,
}
