"""An account of one ordeal: its history by the key of each event. It judges nothing.

A *key* names an event to the judge: the publisher gives it before `defer()`, so that it is known even of an event that
nobody confirmed. A *copy* of an event is a second message of it, made where a publish was repeated.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.faults.history import Record

ENDINGS = ("ok", "fail", "unknown")
"""What a `defer()` may come to."""


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


class Account:
    """The history by key."""

    def __init__(self, history: Iterable[Record], terms: Terms) -> None:
        self.terms = terms
        self.invoked: dict[str, Record] = {}
        self.invocations: Counter[str] = Counter()
        self.ended: dict[str, Record] = {}
        self.attempts: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.over: dict[tuple[str, int], list[float]] = defaultdict(list)
        """When the attempts of a number were over: where nothing else is known, as of a crash, when they began."""
        self._running: dict[tuple[str, int, int], int] = {}
        self.effects: Counter[str] = Counter()
        self.ids: dict[str, set[str]] = defaultdict(set)
        self.dead: dict[str, list[int]] = defaultdict(list)
        self.decided: dict[int, str] = {}
        self.hurts: list[Record] = []
        self._starved: dict[int, list[Record]] = defaultdict(list)
        self.drained: list[Record] = []
        self.checked: list[str] = []
        for record in history:
            self._enter(record)
        self.unknown = {key for key in self.invoked if self.ended.get(key, {"what": "unknown"})["what"] == "unknown"}
        self.durations = {key: end["at"] - self.invoked[key]["at"] for key, end in self.ended.items()}
        self.repeats = Counter({key: self._repeats(key) for key in self.attempts}) + Counter()  # only above nothing

    def _enter(self, record: Record) -> None:
        match record["what"]:
            case "invoke":
                self.invoked[record["key"]] = record
                self.invocations[record["key"]] += 1
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
            case "starved":
                self._starved[record["pid"]].append(record)
            case "drained":
                self.drained.append(record)
            case "checked":
                self.checked.append(record["said"])

    def _begin(self, record: Record) -> None:
        key, number, at = record["key"], record["attempt"], record["at"]
        self.attempts[key][number].append(at)
        self.ids[key].add(record["id"])
        self._running[key, number, record["pid"]] = len(self.over[key, number])
        self.over[key, number].append(at)

    def _fail(self, record: Record) -> None:
        key, number = record["key"], record["attempt"]
        self.over[key, number][self._running[key, number, record["pid"]]] = record["at"]

    def _repeats(self, key: str) -> int:
        """Return how often it ran once more than it was to: the same attempt again, or after its effect, in a round."""
        again = max(map(len, self.attempts[key].values())) - 1
        return max(again, self.effects[key] - 1) - self.redriven(key)

    def allowed(self, what: str) -> int:
        """Return how many of it the hurts may have caused."""
        return sum(hurt.get(what, 0) for hurt in self.hurts)

    def letters(self, key: str) -> int:
        """Return how many letters of it are kept: undecided, or let go by a person."""
        return sum(self.decided.get(number) != "redriven" for number in self.dead.get(key, ()))

    def redriven(self, key: str) -> int:
        """Return how many letters of it were redriven, and so how often it was asked to run again."""
        return sum(self.decided.get(number) == "redriven" for number in self.dead.get(key, ()))

    def stopped(self, pid: int, since: float, until: float) -> bool:
        """Tell whether a process was itself stopped in a time."""
        return any(
            pid in hurt.get("stopped", ()) and hurt["at"] - hurt.get("lasted", 0.0) <= until and since <= hurt["at"]
            for hurt in self.hurts
        )

    def starved(self, pid: int, since: float, until: float) -> float:
        """Return how many seconds of a time others have kept a process from running."""
        spells = ((max(spell["at"] - spell["lasted"], since), min(spell["at"], until)) for spell in self._starved[pid])
        seconds: float = sum(max(end - begin, 0.0) for begin, end in spells)
        return seconds

    def was_killed(self, pid: int) -> bool:
        """Tell whether a process was killed."""
        return any(pid in hurt.get("killed", ()) for hurt in self.hurts)
