"""The states of groups: what was decided, and when it does not hold any more."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.failures.groups import FailureGroup, failure_groups
from bridge.failures.states import GroupDecision, GroupDecisions, fields_of, record_of, state_of
from bridge.ledger_keys import NO_KEYS, LedgerKeys
from tests.unit.bridge.failures.examples import NOW, attempt, dead

HOUR = timedelta(hours=1)


def _decision(word: Any, *, ago: timedelta = HOUR, **fields: Any) -> GroupDecision:
    return GroupDecision("1f3a9c0e", word, "ann@web1", NOW - ago, **fields)


def _group(*minutes: int, release: str | None = "v42") -> FailureGroup:
    return failure_groups([dead(each, release=release) for each in minutes], [])[0]


def _word(group: FailureGroup, decision: GroupDecision | None, **first_seen: datetime) -> str:
    return state_of(group, decision, first_seen, NOW).word


def test_a_group_without_a_decision_is_new() -> None:
    """So is one whose decision was taken back."""
    assert [_word(_group(1), each) for each in (None, _decision("new"), _decision("known"))] == ["new", "new", "known"]


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        ({"until": NOW + HOUR}, "quiet"),
        ({"until": NOW}, "reopened"),
        ({"count": 4}, "quiet"),
        ({"count": 3}, "reopened"),
        ({"rate": 2}, "quiet"),
        ({"rate": 1}, "reopened"),
        ({"until": NOW + HOUR, "rate": 1}, "reopened"),
    ],
)
def test_a_quiet_group_is_quiet_until_its_first_limit(limits: dict[str, Any], word: str) -> None:
    """Two of the three failures are within an hour."""
    assert _word(_group(1, 60, 61), _decision("quiet", **limits)) == word


def test_a_fixed_group_is_reopened_when_it_is_seen_on_the_release() -> None:
    """Failures of an earlier release, or of before the decision, do not count."""
    fixed = _decision("fixed", release="v43")
    seen = {"v42": NOW - 9 * HOUR, "v43": NOW - 2 * HOUR, "v44": NOW}

    assert _word(_group(1), fixed, **seen) == "fixed"
    assert _word(_group(1, release="v43"), fixed, **seen) == "reopened"
    assert _word(_group(1, release="v44"), fixed, **seen) == "reopened"
    assert _word(_group(61, release="v43"), fixed, **seen) == "fixed"
    assert _word(_group(1, release=None), fixed, **seen) == "fixed"


def test_a_release_that_was_never_seen_has_no_later_one() -> None:
    """Before the release with the fix is deployed, no failure reopens the group."""
    assert _word(_group(1), _decision("fixed", release="v99"), v42=NOW) == "fixed"


def test_an_event_that_is_retrying_reopens_a_group_too() -> None:
    """It is seen before it is dead."""
    (group,) = failure_groups([], [attempt(1)])

    assert _word(group, _decision("fixed", release="v43")) == "reopened"


def test_the_last_decision_counts() -> None:
    """A decision is read as it was written."""
    first = _decision("known", note="\u00e9 \ud800")
    last = _decision("quiet", until=NOW, count=3, rate=7, title="KeyError", release="v1", note="why")
    decisions = GroupDecisions()

    for each in (first, last, replace(first, group="00000000", note="é")):
        decisions.add(record_of(each, "shop", NO_KEYS), "shop", NO_KEYS)

    assert decisions.of("1f3a9c0e") == last
    assert set(decisions.groups()) == {"1f3a9c0e", "00000000"}


@pytest.mark.parametrize(
    "damage",
    [
        {"word": "quit"},
        {"word": []},
        {"time": "now"},
        {"group": 7},
        {"count": -1},
        {"until": 3},
        {"release": "x" * 9999},
    ],
    ids=str,
)
def test_a_damaged_record_is_counted(damage: dict[str, Any]) -> None:
    """It changes nothing."""
    decisions = GroupDecisions()

    decisions.add({**fields_of(_decision("known")), **damage}, "shop", NO_KEYS)
    decisions.add({"kind": "pause"}, "shop", NO_KEYS)

    assert (decisions.skipped, decisions.groups()) == (2, {})


def test_with_a_key_only_signed_decisions_count() -> None:
    """A record of another namespace is not believed either."""
    keys = LedgerKeys(("sixteen-characters",))
    decisions = GroupDecisions()

    for each in (record_of(_decision("known"), "shop", NO_KEYS), record_of(_decision("known"), "other", keys)):
        decisions.add(each, "shop", keys)
    assert (decisions.skipped, decisions.of("1f3a9c0e")) == (2, None)

    decisions.add(record_of(_decision("known"), "shop", keys), "shop", keys)
    assert decisions.of("1f3a9c0e") == _decision("known")
