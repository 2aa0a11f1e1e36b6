"""The judge, by forged histories: one for each way to break each promise, and sound ones that it must let pass."""

from typing import Any

import pytest

from tests.faults.account import Terms
from tests.faults.history import Record
from tests.faults.judge import figures, judge
from tests.unit.faults.forging import (
    CHILD,
    PUBLISHER,
    TERMS,
    attempt,
    broken,
    dead,
    drained,
    effect,
    end,
    failure,
    hurt,
    invoke,
    line,
    published,
    starved,
)

ORDERED = "an event of an ordered queue began before an earlier one ended"
EXPIRED = "an expired event began"
CANCELLED = "a cancelled event began"
LEFT_OUT = "a moment of a schedule was left out"
AGAIN = "a moment of a schedule ran twice"
PAUSED = "an event of a paused queue began"


SOUND: dict[str, tuple[Record, ...]] = {
    "delivered": (*published("a"), attempt("a", 1), effect("a", 1)),
    "delivered before its confirmation came": (invoke("a"), attempt("a", 0.1), effect("a", 0.1), end("ok", "a", 0.2)),
    "delivered at the third attempt": (
        *published("a"),
        *(attempt("a", 1, 1), failure("a", 1.1, 1), attempt("a", 2.1, 2), failure("a", 2.2, 2)),
        *(attempt("a", 4.2, 3), effect("a", 4.2, 3)),
    ),
    "dead": (*published("a"), attempt("a", 1), failure("a", 1), dead("a")),
    "dead without an attempt": (*published("a"), dead("a")),
    "dead, let go by a person": (*published("a"), dead("a"), line("discarded", 60, number=1)),
    "dead, redriven and delivered": (
        *(*published("a"), attempt("a", 1), failure("a", 1), dead("a")),
        *(line("redriven", 60, number=1), attempt("a", 61), effect("a", 61)),
    ),
    "not published": published("a", what="fail"),
    "perhaps published, and not": published("a", what="unknown"),
    "perhaps published, and twice": (
        *published("a", what="unknown"),
        *(attempt("a", 1), effect("a", 1), attempt("a", 2), effect("a", 2)),
    ),
    "a copy of it, after a cut": (
        *(*published("a"), hurt(copies=1), attempt("a", 1), effect("a", 1)),
        *(attempt("a", 2), effect("a", 2)),
    ),
    "a foreign message, under another id at every reading": (
        {**invoke("a"), "foreign": True},
        *(end("ok", "a"), hurt(repeats=1), attempt("a", 1)),
        *({**attempt("a", 2), "id": "another"}, effect("a", 2)),
    ),
    "two messages of one name, both dead": (*published("a"), *published("a", at=1.0), dead("a", 1), dead("a", 2)),
    "its publisher was killed": (invoke("a"), hurt(killed=[PUBLISHER]), attempt("a", 2), effect("a", 2)),
    "slow because it was stopped": (
        *(invoke("a"), hurt(at=9, stopped=[PUBLISHER], lasted=8), end("ok", "a", 9.5)),
        *(attempt("a", 9), effect("a", 9)),
    ),
    "slow because others kept it from running": (
        *(invoke("a"), starved(at=1.5, lasted=0.1), starved(at=2.3, lasted=0.1), end("ok", "a", 2.4)),
        *(attempt("a", 2), effect("a", 2)),
    ),
    "twice after a kill that allows it": (
        *(*published("a"), attempt("a", 1), hurt(at=2, repeats=1)),
        *(attempt("a", 3), effect("a", 3)),
    ),
    "a crash is over when it began, for all that is known": (
        *published("a"),
        *(attempt("a", 1), attempt("a", 2, 2), effect("a", 2, 2)),
    ),
    "delayed": (invoke("a", delay=5), end("ok", "a"), attempt("a", 5), effect("a", 5)),
}


@pytest.mark.parametrize("case", SOUND)
def test_a_sound_history_holds(case: str) -> None:
    """Nothing that is promised is broken in it."""
    assert broken(*SOUND[case]) == []


LOST = "confirmed, but neither run nor in the ledger"
BOTH = "run and dead-lettered, or dead-lettered twice"
INVENTED = "run or dead-lettered without a defer() call"
DENIED = "reported as not published, but ran"
EARLY = "ran before it was due"
ORDER = "attempts not in the order of the policy"
MANY = "more attempts than the policy and the faults allow"
TWICE = "more repeated runs than the faults allow"
RENAMED = "ran under more than one id"
SLOW = "defer() took longer than its budget"
HUNG = "a request never ended"

FORGED: dict[str, tuple[str, tuple[Record, ...]]] = {
    "confirmed and gone": (LOST, published("a")),
    "begun, and never done": (LOST, (*published("a"), attempt("a", 1))),
    "failed, and gone": (LOST, (*published("a"), attempt("a", 1), failure("a", 1))),
    "redriven, and gone": (LOST, (*published("a"), dead("a"), line("redriven", 60, number=1))),
    "delivered and dead": (BOTH, (*published("a"), attempt("a", 1), effect("a", 1), dead("a"))),
    "dead twice": (BOTH, (*published("a"), dead("a", 1), dead("a", 2))),
    "delivered and dead more often than the faults allow": (
        BOTH,
        (
            hurt(copies=1),
            *(line for key in "ab" for line in (*published(key), attempt(key, 1), effect(key, 1), dead(key, ord(key)))),
        ),
    ),
    "an effect out of nothing": (INVENTED, (attempt("a", 1), effect("a", 1))),
    "a letter out of nothing": (INVENTED, (dead("a"),)),
    "said to have failed, and ran": (DENIED, (*published("a", what="fail"), attempt("a", 1), effect("a", 1))),
    "said to have failed, and died": (DENIED, (*published("a", what="fail"), dead("a"))),
    "the first retry early": (
        EARLY,
        (*published("a"), attempt("a", 1), failure("a", 1.5), attempt("a", 2.4, 2), effect("a", 2.4, 2)),
    ),
    "the waits the wrong way round": (
        EARLY,
        (
            *(*published("a"), attempt("a", 1), failure("a", 1), attempt("a", 3, 2), failure("a", 3, 2)),
            *(attempt("a", 4, 3), effect("a", 4, 3)),
        ),
    ),
    "a delayed event early": (EARLY, (invoke("a", delay=5), end("ok", "a"), attempt("a", 4), effect("a", 4))),
    "an attempt left out": (ORDER, (*published("a"), attempt("a", 1), attempt("a", 9, 3), effect("a", 9, 3))),
    "a fourth attempt": (
        MANY,
        (*published("a"), *(attempt("a", 10.0 * number, number) for number in range(1, 5)), effect("a", 40, 4)),
    ),
    "an attempt of a number that the policy has not": (
        MANY,
        (
            *(*published("a"), hurt(repeats=1)),
            *(attempt("a", 10.0 * number, number) for number in range(1, 5)),
            effect("a", 40, 4),
        ),
    ),
    "more attempts than one kill can make": (
        MANY,
        (*published("a"), hurt(repeats=9), *(attempt("a", number) for number in range(1, 8)), effect("a", 9)),
    ),
    "twice, and nothing was hurt": (TWICE, (*published("a"), attempt("a", 1), attempt("a", 2), effect("a", 2))),
    "two run twice where one was in flight": (
        TWICE,
        (
            hurt(repeats=1),
            *(record for key in "ab" for record in (*published(key), attempt(key, 2), attempt(key, 3), effect(key, 3))),
        ),
    ),
    "again after its effect, as if it had failed": (
        TWICE,
        (*published("a"), attempt("a", 1), effect("a", 1), attempt("a", 2.1, 2), effect("a", 2.1, 2)),
    ),
    "three times where one may be a copy": (
        TWICE,
        (
            *(*published("a"), hurt(copies=1), attempt("a", 1), effect("a", 1)),
            *(attempt("a", 2), effect("a", 2), attempt("a", 3), effect("a", 3)),
        ),
    ),
    "under another id": (
        RENAMED,
        (
            *(*published("a"), hurt(repeats=1), attempt("a", 1)),
            *({**attempt("a", 2), "id": "another"}, effect("a", 2)),
        ),
    ),
    "slower than its budget": (SLOW, (invoke("a"), end("fail", "a", 2.3))),
    "slow long after it was stopped": (
        SLOW,
        (hurt(at=3, stopped=[PUBLISHER], lasted=2), invoke("a", 5), end("fail", "a", 8)),
    ),
    "slow while another was stopped": (SLOW, (invoke("a"), hurt(at=3, stopped=[11], lasted=3), end("fail", "a", 4))),
    "slower than its budget and what others kept it": (
        SLOW,
        (starved(at=0, lasted=1), invoke("a"), starved(at=2.3, lasted=0.1), end("fail", "a", 2.4)),
    ),
    "slow while others kept another from running": (
        SLOW,
        (invoke("a"), starved(at=2, lasted=1, pid=11), end("fail", "a", 2.4)),
    ),
    "without an end": (HUNG, (invoke("a"),)),
    "without an end when another was killed": (HUNG, (invoke("a"), hurt(killed=[11]))),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_broken_promise_is_found(case: str) -> None:
    """The judge names the promise that was broken, and no other."""
    rule, history = FORGED[case]

    assert broken(*history) == [rule]


@pytest.mark.parametrize(
    "left",
    [
        {"ready": 1},
        {"held": 1},
        {"waiting": 1},
        {"spooled": 1},
        {"unrouted": 1},
        {"processes": [17]},
        {"files": ["a.sock"]},
        {"unreachable": 1},
    ],
    ids=lambda left: next(iter(left)),
)
def test_what_is_left_over_is_found(left: dict[str, Any]) -> None:
    """The verdict names everything that is left after the drain."""
    assert broken(left=drained(**left)) == ["left over after the drain"]


def test_an_end_at_which_nobody_looked_is_found() -> None:
    """A history without its last line proves nothing."""
    assert [breach.rule for breach in judge([], TERMS)] == ["left over after the drain"]


def test_early_retries_pass_where_the_clock_was_moved() -> None:
    """Waits by a clock that somebody moved are not judged; all else is."""
    early = (*published("a"), attempt("a", 1), failure("a", 1), attempt("a", 1.1, 2), effect("a", 1.1, 2))

    assert broken(*early, terms=Terms(3, (1.0, 2.0), 2.0, timed=False)) == []


def test_a_breach_counts_its_cases_and_shows_some() -> None:
    """Six lost events are six cases, of which five are named."""
    history = [*(record for key in "abcdef" for record in published(key)), drained()]

    (breach,) = judge(history, TERMS)

    assert str(breach) == f"{LOST}: 6 (a; b; c; d; e)"


def test_the_figures_of_an_ordeal() -> None:
    """Events, deliveries, repeats, letters, losses, the longest defer() and the longest silence."""
    history = [
        *published("a"),
        *published("b", at=1.0),
        *published("c", at=2.0),
        *(attempt("a", 3), attempt("a", 4), effect("a", 4)),
        *(attempt("b", 9), effect("b", 9)),
        *published("d", at=10.0, what="unknown"),
        dead("d"),
    ]

    found = figures(history, TERMS)

    assert (found.events, found.deliveries, found.repeats, found.dead) == (4, 3, 1, 1)
    assert (found.lost, found.longest_silence) == (1, 5.0)
    assert found.longest_defer == pytest.approx(0.1)


def test_each_redrive_runs_an_event_once_more() -> None:
    """An event that was redriven twice may run three times, and not four."""
    redriven = (
        *(*published("a"), dead("a", 1), line("redriven", 60, number=1), dead("a", 2), line("redriven", 70, number=2)),
        *(attempt("a", 1), attempt("a", 61), attempt("a", 71), effect("a", 71)),
    )

    assert broken(*redriven) == []
    assert broken(*redriven, attempt("a", 80)) == ["more repeated runs than the faults allow"]


def test_a_damaged_file_is_found() -> None:
    """An integrity check of SQLite with a result other than `ok` is a breach."""
    assert broken(line("checked", 1, said="ok")) == []
    assert broken(line("checked", 1, said="row 7 missing from index")) == ["a broker's file is damaged"]


@pytest.mark.parametrize(("losses", "verdict"), [(1, []), (0, ["confirmed, but neither run nor in the ledger"])])
def test_what_an_operator_throws_away_may_be_lost_and_no_more(losses: int, verdict: list[str]) -> None:
    """A queue that is deleted takes along what is in it."""
    assert broken(*published("a"), hurt(losses=losses)) == verdict


def test_attempts_that_a_dying_child_did_not_note() -> None:
    """An attempt may be missing where a hurt may have hidden it, and nowhere else."""
    spent = (*published("a"), attempt("a", 5.0, 2), effect("a", 5.1, 2))

    assert broken(*spent) == ["attempts not in the order of the policy"]
    assert broken(*spent, hurt(unseen=1)) == []


@pytest.mark.parametrize("what", ["fail", "unknown"])
def test_a_refusal_is_found_where_there_is_a_spool(what: str) -> None:
    """A request that a spool should have taken was refused."""
    terms = Terms(3, (1.0, 2.0), 2.0, refusing=False)

    assert broken(*published("a", what=what), terms=terms) == ["defer() raised although there is a spool"]


@pytest.mark.parametrize(
    ("at", "named"), [(30.0, True), (9.0, False), (10.5, False), (12.9, False), (13.1, True), (60.0, False)]
)
def test_a_paused_queue_begins_nothing(at: float, named: bool) -> None:
    """From some seconds after the pause until its resume."""
    lines = (*published("a"), line("paused", 10.0), attempt("a", at), effect("a", at + 0.1), line("resumed", 50.0))

    assert (PAUSED in broken(*lines)) is named


def test_a_pause_that_is_never_resumed_holds() -> None:
    """An event that begins at any later time breaks it."""
    lines = (*published("a"), line("paused", 10.0), attempt("a", 90.0), effect("a", 90.1))

    assert PAUSED in broken(*lines)


def in_order(key: str, at: float, queue: str = "orders") -> tuple[Record, Record]:
    """An event of an ordered queue, confirmed 0.1 s later."""
    return {**invoke(key, at), "ordered": queue}, end("ok", key, at + 0.1)


RETRIED = (attempt("a", 2), failure("a", 2), attempt("a", 3.1, 2), effect("a", 3.5, 2))


@pytest.mark.parametrize(
    ("lines", "rules"),
    [
        ((*in_order("a", 0), *RETRIED, *in_order("b", 1), attempt("b", 3.6), effect("b", 3.7)), []),
        ((*in_order("a", 0), *RETRIED, *in_order("b", 1), attempt("b", 2.5), effect("b", 2.6)), [ORDERED]),
        ((*in_order("a", 0), *RETRIED, *in_order("b", 1), attempt("b", 3.2), effect("b", 3.3)), [ORDERED]),
        ((*in_order("a", 0), *RETRIED, *in_order("b", 1), attempt("b", 1.5), effect("b", 1.6)), [ORDERED]),
        ((*in_order("a", 0), *RETRIED, *in_order("b", 0.05), attempt("b", 1.5), effect("b", 1.6)), []),
        ((*in_order("a", 0), *RETRIED, *in_order("b", 1, "others"), attempt("b", 1.5), effect("b", 1.6)), []),
        ((*in_order("a", 0), *RETRIED, *published("b", 1), attempt("b", 1.5), effect("b", 1.6)), []),
    ],
    ids=[
        "after it",
        "while its retry waits",
        "while its retry runs",
        "before it",
        "before one that was published meanwhile",
        "in another queue",
        "in a queue without an order",
    ],
)
def test_an_ordered_queue_keeps_its_order(lines: tuple[Record, ...], rules: list[str]) -> None:
    """No event begins before the ones that were confirmed before it was invoked have ended."""
    assert broken(*lines) == rules


def test_the_order_holds_over_a_kill() -> None:
    """An event that runs again after a kill has not ended before that."""
    killed = (*in_order("a", 0), attempt("a", 2), hurt(at=3, repeats=1), attempt("a", 5, pid=21), effect("a", 6))

    assert broken(*killed, *in_order("b", 1), attempt("b", 6.1), effect("b", 6.2)) == []
    assert broken(*killed, *in_order("b", 1), attempt("b", 4), effect("b", 4.1)) == [ORDERED]


@pytest.mark.parametrize(("at", "rules"), [(9.0, []), (11.9, []), (12.1, [EXPIRED])])
def test_an_expired_event_does_not_begin(at: float, rules: list[str]) -> None:
    """Neither its first attempt nor a later one, but for the seconds that a busy machine may take."""
    event = {**invoke("a"), "expires": 10.0}, end("ok", "a")
    retried = attempt("a", 1), failure("a", 1), attempt("a", at, 2), effect("a", at, 2)

    assert broken(*event, attempt("a", at), effect("a", at)) == rules
    assert broken(*event, *retried) == rules


def test_a_redriven_event_does_not_expire() -> None:
    """A person wants it to run now."""
    event = {**invoke("a"), "expires": 10.0}, end("ok", "a")

    assert broken(*event, dead("a"), line("redriven", 60, number=1), attempt("a", 61), effect("a", 61)) == []


@pytest.mark.parametrize(("at", "rules"), [(9.0, []), (12.9, []), (13.1, [CANCELLED])])
def test_a_cancelled_event_does_not_begin(at: float, rules: list[str]) -> None:
    """From some seconds after its cancellation, neither its first attempt nor a later one."""
    event = *published("a"), line("cancelled", 10.0, key="a")
    retried = attempt("a", 1), failure("a", 1), attempt("a", at, 2), effect("a", at, 2)

    assert broken(*event, attempt("a", at), effect("a", at)) == rules
    assert broken(*event, *retried) == rules


def test_a_cancelled_event_that_was_redriven_begins() -> None:
    """A person wants it to run now."""
    event = *published("a"), line("cancelled", 10.0, key="a"), dead("a"), line("redriven", 60, number=1)

    assert broken(*event, attempt("a", 61), effect("a", 61)) == []


def moment(second: int, event: str, at: float = 1.0) -> Record:
    return line("moment", at, key="tick", id=event, moment=f"2026-03-01T12:00:{second:02}+00:00", pid=CHILD)


@pytest.mark.parametrize(
    ("lines", "rules"),
    [
        ((moment(1, "a"), moment(2, "b")), []),
        ((moment(1, "a"), moment(1, "a")), [AGAIN]),
        ((moment(1, "a"), moment(1, "a"), hurt(copies=1)), []),
        ((moment(1, "a"), moment(1, "a"), moment(1, "a"), hurt(repeats=1)), [AGAIN]),
        ((moment(1, "a"), moment(1, "b"), hurt(copies=1)), [AGAIN]),
    ],
    ids=["once each", "twice", "twice after a kill", "three times after a kill", "under another id after a kill"],
)
def test_a_moment_runs_once(lines: tuple[Record, ...], rules: list[str]) -> None:
    """A kill may repeat its event, with the same id."""
    assert broken(*lines) == rules


@pytest.mark.parametrize(
    ("lines", "rules"),
    [
        ((moment(1, "a"), moment(2, "b"), moment(3, "c")), []),
        ((moment(1, "a"), moment(3, "c"), moment(2, "b", at=9.0)), []),
        ((moment(1, "a"), moment(3, "c")), [LEFT_OUT]),
        ((moment(1, "a"), moment(3, "c"), hurt(losses=1)), []),
        ((moment(1, "a"), moment(3, "c"), hurt(repeats=1)), [LEFT_OUT]),
    ],
    ids=["each", "one late", "one left out", "one deleted by an operator", "one left out after a kill"],
)
def test_no_moment_is_left_out(lines: tuple[Record, ...], rules: list[str]) -> None:
    """A moment may run late, and whatever was killed, it runs."""
    assert broken(line("schedule", 0, key="tick", every=1.0), *lines) == rules
