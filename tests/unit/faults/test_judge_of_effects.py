"""The judge of effects in the app's database, by forged histories."""

from typing import Any

import pytest

from tests.faults.app_database import LISTENERS
from tests.faults.effect_rules import EFFECT_RULES
from tests.faults.history import Record
from tests.unit.faults.forging import attempt, broken, dead, effect, end, hurt, invoke, line, published

TWICE, MISSING, UNCOMMITTED, LOST = EFFECT_RULES
ONCE: dict[str, Any] = dict.fromkeys(LISTENERS, 1)


def stored(key: str, *, committed: bool = True, **effects: int) -> Record:
    """Return what the app's database had of an event at the end."""
    return line("stored", 98.0, key=key, committed=committed, effects=effects)


def run(key: str, at: float = 1.0) -> tuple[Record, Record]:
    """Return an attempt and its effect."""
    return attempt(key, at), effect(key, at + 0.1)


def test_effects_that_happened_once_break_nothing() -> None:
    """Also those whose child was killed before it noted them, and those that came with a repeat."""
    repeat = attempt("b", 2.0)
    history = (*published("a"), *run("a"), stored("a", **ONCE), *published("b"), attempt("b", 1.0), repeat)
    assert broken(*history, stored("b", **ONCE), hurt(repeats=1)) == []


@pytest.mark.parametrize("listener", LISTENERS)
def test_an_effect_that_happened_twice(listener: str) -> None:
    """Whatever the faults may cause."""
    twice: dict[str, Any] = {**ONCE, listener: 2}
    assert broken(*published("a"), *run("a"), stored("a", **twice), hurt(repeats=9, copies=9)) == [TWICE]


@pytest.mark.parametrize("listener", LISTENERS)
def test_an_effect_that_is_missing(listener: str) -> None:
    """Of any of the listeners."""
    effects: dict[str, Any] = {each: 1 for each in LISTENERS if each != listener}
    assert broken(*published("a"), *run("a"), stored("a", **effects)) == [MISSING]


def test_a_dead_letter_has_no_effects() -> None:
    """It may have those of the listeners that have finished."""
    assert broken(*published("a"), attempt("a", 1.0), dead("a"), stored("a", decorated=1)) == []


def test_an_unknown_commit_may_have_happened() -> None:
    """Then it has its effects, else nothing of it is there."""
    happened = (*published("a", what="unknown"), *run("a"), stored("a", **ONCE))
    assert broken(*happened, *published("b", what="unknown"), stored("c", **ONCE), *published("c"), *run("c")) == []


@pytest.mark.parametrize(
    "records",
    [
        (stored("a", committed=False, **ONCE), *run("a")),
        (stored("a", committed=False, called=1),),
        (attempt("a", 1.0),),
    ],
)
def test_an_event_without_its_transaction(records: tuple[Record, ...]) -> None:
    """It ran, or had an effect, although its order is not there."""
    other = (*published("z"), *run("z"), stored("z", **ONCE))
    assert UNCOMMITTED in broken(invoke("a"), end("unknown", "a"), *records, *other)


def test_a_committed_order_that_is_gone() -> None:
    """The request was told that it is committed."""
    other = (*published("z"), *run("z"), stored("z", **ONCE))
    assert LOST in broken(*published("a"), *other)


def test_an_ordeal_without_a_database_is_not_judged_by_one() -> None:
    """Its events have no orders."""
    assert broken(*published("a"), *run("a")) == []
