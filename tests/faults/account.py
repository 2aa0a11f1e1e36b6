"""An account of one ordeal: its history, grouped by the key of each event. `rules` judges it.

A *key* identifies an event for the judge. The publisher chooses the key before it calls `defer()`, so an event that was
never confirmed has one too. A *copy* is a second message of the same event, made when a publish was repeated.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from tests.faults.call_account import Call
from tests.faults.history import Record
from tests.faults.tolerances import GRACE

ENDINGS = ("ok", "fail", "unknown")
"""The possible results of a `defer()`."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The promises of one ordeal.

    `attempts` and the `waits` between them, in seconds, are the queue's retry policy; `budget` is the time in seconds
    that a `defer()` may take. `timed` is False if the waits cannot be judged because the broker's clock was changed.
    `refusing` is False if `defer()` must not raise because there is a spool.
    """

    attempts: int
    waits: Sequence[float]
    budget: float
    timed: bool = True
    refusing: bool = True


class Account:
    """The history, grouped by the keys of the events."""

    def __init__(self, history: Iterable[Record], terms: Terms) -> None:
        self.terms = terms
        self.invoked: dict[str, Record] = {}
        self.invocations: Counter[str] = Counter()
        self.ended: dict[str, Record] = {}
        self.attempts: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.over: dict[tuple[str, int], list[float]] = defaultdict(list)
        """By key and attempt number: when each such attempt failed, or when it began if it never ended (a crash)."""
        self._running: dict[tuple[str, int, int], int] = {}
        self.effects: Counter[str] = Counter()
        self.ids: dict[str, set[str]] = defaultdict(set)
        self.last: dict[str, float] = {}
        """By key: when its last attempt ended, or began if it never ended."""
        self.dead: dict[str, list[int]] = defaultdict(list)
        self.decided: dict[int, str] = {}
        self.hurts: list[Record] = []
        self._starved: dict[int, list[Record]] = defaultdict(list)
        self.pauses: list[tuple[float, float]] = []
        """Each time between a pause and its resume; infinity for one that was not resumed."""
        self.cancelled: dict[str, float] = {}
        """By key: when the cancellation of an event was confirmed."""
        self.moments: dict[tuple[str, str], list[str]] = defaultdict(list)
        """By schedule and moment: the id of the event of each run."""
        self.schedules: dict[str, float] = {}
        """By schedule: the seconds between two moments."""
        self.calls: dict[str, Call] = defaultdict(Call)
        self.stored: dict[str, Record] = {}
        """By key: what the app's database had at the end, if the ordeal has one."""
        self.drained: list[Record] = []
        self.checked: list[str] = []
        for record in history:
            self._enter(record)
        self.unknown = {key for key in self.invoked if self.ended.get(key, {"what": "unknown"})["what"] == "unknown"}
        self.durations = {key: end["at"] - self.invoked[key]["at"] for key, end in self.ended.items()}
        self.repeats = Counter({key: self._repeats(key) for key in self.attempts}) + Counter()  # drops the zeros

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
                self.last[record["key"]] = record["at"]
            case "dead":
                self.dead[record["key"]].append(record["number"])
            case "redriven" | "discarded" as decision:
                self.decided[record["number"]] = decision
            case "paused":
                self.pauses.append((record["at"], inf))
            case "resumed":
                self.pauses[-1] = (self.pauses[-1][0], record["at"])
            case "moment":
                self.moments[record["key"], record["moment"]].append(record["id"])
            case "schedule":
                self.schedules[record["key"]] = record["every"]
            case "cancelled":
                self.cancelled[record["key"]] = record["at"]
            case "ask" | "told" | "called" | "replied":
                self.calls[record["key"]].enter(record)
            case "stored":
                self.stored[record["key"]] = record
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
        self.last[key] = at

    def _fail(self, record: Record) -> None:
        key, number = record["key"], record["attempt"]
        self.over[key, number][self._running[key, number, record["pid"]]] = record["at"]
        self.last[key] = record["at"]

    def _repeats(self, key: str) -> int:
        """Return how many times an event ran more often than it should: the same attempt again, or a run after the
        effect, both without a redrive."""
        again = max(map(len, self.attempts[key].values())) - 1
        return max(again, self.effects[key] - 1) - self.redriven(key)

    def allowed(self, what: str) -> int:
        """Return how many of these (`repeats`, `copies`, `unseen`, `losses`) the faults may have caused."""
        return sum(hurt.get(what, 0) for hurt in self.hurts)

    def letters(self, key: str) -> int:
        """Return the number of dead letters of an event that are open or were discarded."""
        return sum(self.decided.get(number) != "redriven" for number in self.dead.get(key, ()))

    def redriven(self, key: str) -> int:
        """Return the number of dead letters of an event that were redriven, each of which lets it run again."""
        return sum(self.decided.get(number) == "redriven" for number in self.dead.get(key, ()))

    def had_effect(self, key: str) -> bool:
        """Return True if a listener noted its effect, or the app's database has it: a child may be killed between its
        commit and its note."""
        return bool(self.effects[key] or self.stored.get(key, {}).get("effects"))

    def overran(self, begun: Record, end: Record, within: float) -> bool:
        """Return True if a process took longer than `within` seconds and `GRACE` from one of its lines to another,
        without the time for which it had no CPU, and was not stopped meanwhile."""
        since, took = (begun["pid"], begun["at"], end["at"]), end["at"] - begun["at"]
        if took <= within + GRACE or self._stopped(*since):
            return False
        without_cpu = self._without_cpu(*since)
        return bool(took - without_cpu > within + GRACE)

    def _stopped(self, pid: int, since: float, until: float) -> bool:
        """Return True if a process was stopped by SIGSTOP at some moment between these two times."""
        return any(
            pid in hurt.get("stopped", ()) and hurt["at"] - hurt.get("lasted", 0.0) <= until and since <= hurt["at"]
            for hurt in self.hurts
        )

    def _without_cpu(self, pid: int, since: float, until: float) -> float:
        """Return for how many seconds between these two times a process was ready to run but had no CPU."""
        spells = ((max(spell["at"] - spell["lasted"], since), min(spell["at"], until)) for spell in self._starved[pid])
        seconds: float = sum(max(end - begin, 0.0) for begin, end in spells)
        return seconds

    def was_killed(self, pid: int) -> bool:
        """Return True if a process was killed."""
        return any(pid in hurt.get("killed", ()) for hurt in self.hurts)
