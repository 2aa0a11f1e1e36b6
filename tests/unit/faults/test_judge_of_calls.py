"""The judge of calls, by forged histories: one for each way to break each promise, and sound ones that must pass."""

import pytest

from tests.faults.call_rules import CALL_RULES, OUTLIVED
from tests.faults.history import Record
from tests.unit.faults.forging import CHILD, PUBLISHER, broken, hurt, line, starved

NEVER = "a caller was never told what became of its call"
SLOW = "a call took longer than its timeout"
UNKNOWN = "a call ended in an error that is not one of a call"
ANOTHER = "a caller got an answer that was not its own"
DENIED = "reported as not run, but ran"
UNASKED = "a call ran that nobody made"
AGAIN = "a call ran more than once"
LATE = "a call began after its time"
RAN_ON = "a call ran on for a caller that was gone"


def ask(key: str, at: float = 0.0, timeout: float = 5.0) -> Record:
    """A call of a caller."""
    return line("ask", at, key=key, pid=PUBLISHER, timeout=timeout)


def told(key: str, end: str = "answered", at: float = 2.0, answer: str | None = None) -> Record:
    """The end of a call for its caller."""
    answered = {"answer": answer or key} if end == "answered" else {}
    return line("told", at, key=key, pid=PUBLISHER, end=end, **answered)


def ran(key: str, at: float = 1.0, until: float | None = None) -> tuple[Record, Record]:
    """A run of a listener for a call."""
    return began(key, at), line("replied", at if until is None else until, key=key, pid=CHILD)


def began(key: str, at: float = 1.0) -> Record:
    """The begin of a run that has no end."""
    return line("called", at, key=key, pid=CHILD)


SOUND: dict[str, tuple[Record, ...]] = {
    "answered": (ask("a"), *ran("a"), told("a")),
    "failed": (ask("a"), *ran("a"), told("a", "CallFailed")),
    "rejected": (ask("a"), *ran("a"), told("a", "CallRejected")),
    "served by nobody": (ask("a"), told("a", "NobodyServes")),
    "out of time in line": (ask("a"), told("a", "CallTimedOut", at=5.0)),
    "out of time while it ran": (ask("a"), began("a"), told("a", "CallTimedOut", at=5.0)),
    "answered when its caller had given up": (ask("a"), told("a", "CallTimedOut", at=5.0), *ran("a", 4.9, until=5.3)),
    "lost with its worker": (ask("a"), began("a"), hurt(repeats=1), told("a", "CallLost")),
    "lost with its caller": (ask("a"), hurt(killed=[PUBLISHER]), *ran("a", 2.0)),
    "late because the caller had no CPU": (ask("a"), starved(at=5.4, lasted=0.3), told("a", "CallTimedOut", at=5.4)),
    "late because the caller was stopped": (
        *(ask("a"), hurt(at=7, stopped=[PUBLISHER], lasted=4)),
        told("a", "CallTimedOut", at=7.1),
    ),
}

FORGED: dict[str, tuple[str, tuple[Record, ...]]] = {
    "no word of it": (NEVER, (ask("a"),)),
    "no word of it, though it ran": (NEVER, (ask("a"), *ran("a"))),
    "no word of it when another caller was killed": (NEVER, (ask("a"), hurt(killed=[11]))),
    "told long after its time": (SLOW, (ask("a"), told("a", "CallTimedOut", at=5.4))),
    "answered long after its time": (SLOW, (ask("a"), *ran("a"), told("a", at=5.4))),
    "told something else": (UNKNOWN, (ask("a"), told("a", "KeyError"))),
    "the answer of another": (ANOTHER, (ask("a"), *ran("a"), told("a", answer="b"))),
    "an answer that nobody gave": (ANOTHER, (ask("a"), told("a"))),
    "an answer before its listener's end": (ANOTHER, (ask("a"), began("a"), told("a"))),
    "served by nobody, and ran": (DENIED, (ask("a"), *ran("a"), told("a", "NobodyServes"))),
    "not made, and ran afterwards": (DENIED, (ask("a"), told("a", "CallUnavailable"), *ran("a", 3.0))),
    "a run out of nothing": (UNASKED, ran("a")),
    "run twice": (AGAIN, (ask("a"), *ran("a"), *ran("a", 1.5), told("a"))),
    "run again after its worker was killed": (AGAIN, (ask("a"), began("a"), hurt(repeats=9), *ran("a", 2), told("a"))),
    "begun after its time": (LATE, (ask("a"), told("a", "CallTimedOut", at=5.0), began("a", 5.1 + OUTLIVED))),
    "begun after the time of a killed caller": (LATE, (ask("a"), hurt(killed=[PUBLISHER]), began("a", 5.1 + OUTLIVED))),
    "run on after its time": (
        RAN_ON,
        (ask("a"), *ran("a", until=5.1 + OUTLIVED), told("a", "CallTimedOut", at=5.0)),
    ),
}


@pytest.mark.parametrize("case", SOUND)
def test_a_sound_history_of_calls_holds(case: str) -> None:
    """Nothing that is promised is broken in it."""
    assert broken(*SOUND[case]) == []


@pytest.mark.parametrize("case", FORGED)
def test_a_broken_promise_about_a_call_is_found(case: str) -> None:
    """The judge names the promise that was broken, and no other."""
    rule, history = FORGED[case]

    assert broken(*history) == [rule]


def test_each_rule_for_calls_has_a_forged_history() -> None:
    """A rule that nothing breaks could be taken out unnoticed."""
    assert {rule for rule, _ in FORGED.values()} == set(CALL_RULES)
